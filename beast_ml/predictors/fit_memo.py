"""What fits on the same data with different settings have in common, computed once and with the same result."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

__all__ = ["FitMemo"]

T = TypeVar("T")


class FitMemo:
    """Keeps parts of fits on one training set: the same queries, features and seed.

    A part that draws random numbers is found again where the generator is as it was before the part was fitted, and
    leaves it as fitting does; one that draws none is found again always. So what comes after is the same to the last
    digit, whether a part was fitted or found.

    Examples
    --------
    >>> memo, rng = FitMemo(), np.random.default_rng(0)
    >>> first = memo.of("draw", lambda: rng.integers(100), rng), rng.integers(100)
    >>> rng = np.random.default_rng(0)
    >>> first == (memo.of("draw", lambda: None, rng), rng.integers(100))
    True
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, list[tuple[Any, Any, Any]]] = {}

    def of(self, key: Hashable, fit: Callable[[], T], rng: np.random.Generator | None = None) -> T:
        """Return a part: found where it can be, else fitted.

        Parameters
        ----------
        key
            The part, with every setting that it depends on.
        fit
            Fits it.
        rng
            What it draws from; None: it draws nothing.
        """
        before = None if rng is None else rng.bit_generator.state
        for state, after, value in self._kept.get(key, ()):
            if state == after:
                return value  # type: ignore[no-any-return]  # of the same key, so of the same kind
            if rng is not None and state == before:
                rng.bit_generator.state = after
                return value  # type: ignore[no-any-return]  # as above
        fitted = fit()
        after = None if rng is None else rng.bit_generator.state
        self._kept.setdefault(key, []).append((before, after, fitted))
        return fitted
