"""How good answers are, 0..1: by a reference in the same words, or by a model that is asked for a mark."""

from __future__ import annotations

import re
from typing import Final, Protocol

from beast_ml.serving.answer_cache.judges import same_words
from beast_ml.serving.asking.ask import Asker

__all__ = ["EqualGrader", "Grader", "ModelGrader", "mark_of"]

_INSTRUCTION: Final = (
    "You grade answers. You are given a request, an answer, and sometimes a reference that is right. Judge whether the "
    "answer serves the one who asked: facts and conclusion right, nothing missing that was asked for. Wording and "
    "length do not matter. Reply with one whole number: 10 for an answer without fault, 0 for one of no use."
)
_MARK: Final = re.compile(r"\D*(10|\d)(?:\s*/\s*10)?\b(?!\.?\d)")
_MARK_TOKENS: Final = 8


class Grader(Protocol):
    """Grades answers."""

    async def grade(self, prompt: str, answer: str, reference: str | None) -> float | None:
        """Return the quality of an answer, 0..1; None where it cannot be told."""
        ...


class EqualGrader:
    """Gives 1 to an answer in the same words as the reference, else 0: for labels, extracts and the like."""

    async def grade(self, prompt: str, answer: str, reference: str | None) -> float | None:
        """Return 1 or 0, and None without a reference; see `Grader`."""
        return None if reference is None else float(same_words(answer, reference))


class ModelGrader:
    """Asks a model for a mark, beside the reference where there is one.

    Parameters
    ----------
    asker
        Asks it; its calls count to the same money.
    model
        Which one.
    """

    def __init__(self, asker: Asker, model: str) -> None:
        self._asker, self._model = asker, model

    async def grade(self, prompt: str, answer: str, reference: str | None) -> float | None:
        """Return the mark over 10; None where the model gives none; see `Grader`."""
        parts = {"Request": prompt, "Reference": reference, "Answer": answer}
        said = "\n\n".join(f"{name}:\n{text}" for name, text in parts.items() if text is not None)
        messages = [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": said}]
        call = await self._asker.ask(self._model, messages, temperature=0, max_tokens=_MARK_TOKENS)
        return None if call is None or call.text is None else mark_of(call.text)


def mark_of(said: str) -> float | None:
    """Return the mark that a reply gives, 0..1; None where it gives none.

    Examples
    --------
    >>> mark_of("8"), mark_of("Mark: 10/10"), mark_of("very good"), mark_of("100")
    (0.8, 1.0, None, None)
    """
    found = _MARK.match(said)
    return None if found is None else int(found[1]) / 10
