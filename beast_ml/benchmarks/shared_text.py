"""Which prompts ask a question that stands somewhere inside other prompts, whatever stands around it there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["asked_within"]

_WORDS: Final = re.compile(r"\w+")
_WORDS_IN_A_ROW: Final = 8
_FEW: Final = 2
_ENOUGH: Final = 5


def asked_within(prompts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    r"""Return (n,) whether a prompt's question is part of one of the other prompts.

    A question behind a few-shot prefix, or in another frame, has another beginning and another end, but long runs of
    its words are the same. A prompt asks it again when five runs of eight words (all of them, where there are fewer)
    occur in the others too; runs that more than two of the others have are boilerplate and do not count.

    Examples
    --------
    >>> shot = "Question: Is water wet?\nAnswer: yes\n"
    >>> asked = "Which of these is the largest planet that circles our sun today"
    >>> asked_within([asked, "Is it far?"], [f"{shot}{asked}?\nA) Mars B) Venus\nAnswer:"]).tolist()
    [True, False]
    """
    counts = Counter(run for text in others for run in _runs(text))
    telling = {run for run, n in counts.items() if n <= _FEW}
    found = []
    for text in prompts:
        runs = _runs(text)
        found.append(len(runs & telling) >= min(_ENOUGH, len(runs)))
    return np.array(found, dtype=bool)


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return the distinct runs of eight words in a text; of a shorter one, all of it."""
    words = _WORDS.findall(text.casefold())
    n = max(1, len(words) - _WORDS_IN_A_ROW + 1)
    return {tuple(words[i : i + _WORDS_IN_A_ROW]) for i in range(n)}
