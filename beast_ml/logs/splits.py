"""Splits by question text: whatever its id, the same question never sits on both sides.

The side depends on nothing but the text and the seed, so it is the same on every machine, in every row order, and
for a question that turns up again in next month's log.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError, NotEnoughDataError

__all__ = ["GROUPS", "Groups", "holdout_mask", "normalise_question", "query_fold", "question_numbers", "task_fold"]

Groups = Literal["question", "task"]
"""What is never on both sides of a split: a question, or a task with all its questions."""

GROUPS: Final[tuple[Groups, ...]] = ("question", "task")
"""All of `Groups`."""


def normalise_question(text: str) -> str:
    """Return the text with case, runs of whitespace and Unicode composition levelled out.

    Examples
    --------
    >>> normalise_question("  What is   2 + 2? ")
    'what is 2 + 2?'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def query_fold(prompts: Sequence[str], n_folds: int, seed: int) -> NDArray[np.intp]:
    """Return the fold, 0 .. n_folds - 1, of each prompt; equal questions get equal folds.

    Folds are drawn independently per question, so their sizes are equal only up to chance.

    Raises
    ------
    InputError
        If there are fewer than two folds.

    Examples
    --------
    >>> folds = query_fold(["Who?", "who? ", "Why?"], n_folds=1000, seed=0)
    >>> bool(folds[0] == folds[1]), bool(folds[0] == folds[2])
    (True, False)
    """
    if n_folds < 2:
        raise InputError(f"`n_folds` == {n_folds}, must be >= 2")
    return (_uniforms(prompts, seed, b"beast-fold") * n_folds).astype(np.intp)


def question_numbers(prompts: Sequence[str]) -> NDArray[np.intp]:
    """Return (n,) the number of each prompt's question, in order of first appearance; equal questions share one."""
    # Not np.unique: an array of texts is as wide as its longest, gigabytes for a hundred thousand prompts.
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(normalise_question(prompt), len(numbers)) for prompt in prompts], dtype=np.intp)


def task_fold(tasks: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[np.intp]:
    """Return the fold of each query: whole tasks, in random order, each into the fold that is smallest so far.

    Raises
    ------
    NotEnoughDataError
        If there are fewer tasks than folds.
    """
    names, index, sizes = np.unique(tasks, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise NotEnoughDataError(f"{len(names)} tasks cannot fill {n_folds} folds: use at most {len(names)}")
    fold_of, filled = np.empty(len(names), dtype=np.intp), np.zeros(n_folds)
    for task in np.random.default_rng(seed).permutation(len(names)):
        fold_of[task] = filled.argmin()
        filled[fold_of[task]] += sizes[task]
    return fold_of[index]


def holdout_mask(prompts: Sequence[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return True for the prompts that are held out: about this fraction of the distinct questions.

    A larger fraction holds out a superset. The draw is independent of `query_fold` with the same seed.

    Raises
    ------
    InputError
        If the fraction is not strictly between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"`fraction` == {fraction}, must be between 0 and 1, both excluded")
    return _uniforms(prompts, seed, b"beast-holdout") < fraction


def _uniforms(prompts: Sequence[str], seed: int, purpose: bytes) -> NDArray[np.float64]:
    """Return a number in [0, 1) per prompt, a pure function of question, seed and purpose."""
    base = hashlib.blake2b(str(seed).encode(), digest_size=8, person=purpose)
    hashes = np.empty(len(prompts), dtype=np.uint64)
    for i, prompt in enumerate(prompts):
        state = base.copy()
        state.update(b"\0" + normalise_question(prompt).encode("utf-8", "surrogatepass"))
        hashes[i] = int.from_bytes(state.digest(), "big")
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53  # 53 bits, so that rounding never reaches 1.0
