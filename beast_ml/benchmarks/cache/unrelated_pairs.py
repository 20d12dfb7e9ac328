"""Labelled pairs that have nothing to do with what a stream asks: what its verifier may learn from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from beast_ml.cache.verifier.labelled import LabelledPairs

__all__ = ["unrelated_pairs"]


def unrelated_pairs(pairs: LabelledPairs, asked: Iterable[str], most: int, seed: int = 0) -> LabelledPairs:
    """Return at most so many pairs that are connected to no text that is asked, directly or through other pairs.

    Parameters
    ----------
    pairs
        All that there are.
    asked
        Texts, in whatever surface form.
    most
        How many are wanted.
    seed
        Draws them.
    """
    forms = {_form(text) for text in asked}
    touched = np.array(
        [_form(a) in forms or _form(b) in forms for a, b in zip(pairs.text_a, pairs.text_b, strict=True)], dtype=bool
    )
    free = pairs.select(np.flatnonzero(~np.isin(pairs.components, np.unique(pairs.components[touched]))))
    return free if len(free) <= most else free.sample(most, np.random.default_rng(seed))


def _form(text: str) -> str:
    """Return a text without what a stream may add to it: blanks, capitals, a "please"."""
    return " ".join(text.lower().split()).removeprefix("please ")
