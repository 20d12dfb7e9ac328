"""Labelled pairs: two texts, and whether the answer to one may be served for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Groups", "LabelledPairs", "joined_pairs"]

Ints = NDArray[np.int64]

_LARGEST_SHARE: Final = 0.1


class Groups:
    """Which things have been joined, directly or through others (union-find).

    Examples
    --------
    >>> groups = Groups(4)
    >>> groups.join(0, 1)
    >>> groups.join(1, 2)
    >>> groups.of(2) == groups.of(0), groups.of(3) == groups.of(0)
    (True, False)
    """

    def __init__(self, n: int) -> None:
        self._above = list(range(n))

    def of(self, i: int) -> int:
        """Return the thing that stands for the group of another."""
        above = self._above
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Join the groups of two things."""
        self._above[self.of(i)] = self.of(j)


@dataclass(frozen=True)
class LabelledPairs:
    """n pairs of texts.

    Parameters
    ----------
    text_a, text_b
        Length n.
    same
        (n,) whether the answer to one may be served for the other.
    """

    text_a: tuple[str, ...]
    text_b: tuple[str, ...]
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.text_a)

    def select(self, rows: Sequence[int] | NDArray[np.intp] | Ints) -> LabelledPairs:
        """Return some of the pairs, in the order asked for."""
        chosen = [int(row) for row in rows]
        return LabelledPairs(
            tuple(self.text_a[row] for row in chosen), tuple(self.text_b[row] for row in chosen), self.same[chosen]
        )

    def sample(self, n: int, rng: np.random.Generator) -> LabelledPairs:
        """Return about n pairs, whole components of connected ones, in the order they are in."""
        names, sizes = np.unique(self.components, return_counts=True)
        order = rng.permutation(len(names))
        chosen = names[order[np.cumsum(sizes[order]) <= n]]
        rows = np.flatnonzero(np.isin(self.components, chosen))
        if len(rows) < n // 2:  # one component is larger than that: draw pairs
            rows = np.sort(rng.permutation(len(self))[:n])
        return self.select(rows)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Every text once, in the order of appearance."""
        return tuple(dict.fromkeys([*self.text_a, *self.text_b]))

    @cached_property
    def text_ids(self) -> Ints:
        """(n, 2) places in `texts`."""
        places = {text: i for i, text in enumerate(self.texts)}
        return np.array(
            [(places[a], places[b]) for a, b in zip(self.text_a, self.text_b, strict=True)], dtype=np.int64
        ).reshape(len(self), 2)

    @cached_property
    def components(self) -> Ints:
        """(n,) which pairs are connected through texts that they share."""
        groups = Groups(len(self.texts))
        for a, b in self.text_ids.tolist():
            groups.join(a, b)
        return np.array([groups.of(a) for a in self.text_ids[:, 0].tolist()], dtype=np.int64)

    def text_parts(self, n_parts: int, rng: np.random.Generator) -> Ints:
        """Return (t,) the part of each text, drawn so that connected texts are in one part.

        Only where one component holds over a tenth of all pairs (every bank question is somehow connected to every
        other), its texts are drawn one by one, and pairs of it may lie in two parts.
        """
        of_text = np.empty(len(self.texts), dtype=np.int64)
        for column in (0, 1):
            of_text[self.text_ids[:, column]] = self.components
        names, sizes = np.unique(self.components, return_counts=True)
        drawn = dict(zip(names.tolist(), rng.integers(n_parts, size=len(names)).tolist(), strict=True))
        parts = np.array([drawn[component] for component in of_text.tolist()], dtype=np.int64)
        giants = names[sizes > max(_LARGEST_SHARE * len(self), 20)]
        inside = np.isin(of_text, giants)
        parts[inside] = rng.integers(n_parts, size=int(inside.sum()))
        return parts


def joined_pairs(parts: Sequence[LabelledPairs]) -> LabelledPairs:
    """Return pairs one after the other."""
    return LabelledPairs(
        tuple(text for part in parts for text in part.text_a),
        tuple(text for part in parts for text in part.text_b),
        np.concatenate([part.same for part in parts]),
    )
