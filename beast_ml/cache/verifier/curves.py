"""Hit rate against false-hit rate: what a score is worth, whatever its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Counts", "Interval", "Resampling", "hits_at_rates", "interval", "resample", "trade_off"]

Floats = NDArray[np.float64]

_LARGEST_SHARE: Final = 0.1


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval over resamples; None where it is not defined.

    Parameters
    ----------
    value, low, high
        In this order.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Counts:
    """What a cache did on labelled lookups.

    Parameters
    ----------
    n_lookups, n_hits, n_wrong
        Lookups, those answered from the cache, those answered wrongly.
    n_right_possible
        Lookups whose candidate had the right answer.
    """

    n_lookups: int
    n_hits: int
    n_wrong: int
    n_right_possible: int

    @classmethod
    def of(cls, hit: NDArray[np.bool_], right: NDArray[np.bool_]) -> Counts:
        """Return the counts of (n,) decisions."""
        return cls(len(hit), int(hit.sum()), int((hit & ~right).sum()), int(right.sum()))


def hits_at_rates(scores: ArrayLike, right: ArrayLike, rates: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return, for each false-hit rate, the most hits over lookups that a threshold gives without exceeding it.

    Parameters
    ----------
    scores, right
        (n,) of lookups; minus infinity where there is no candidate.
    rates
        (r,) wrong hits over lookups.
    weights
        (n,) how often each lookup counts; None: once.

    Examples
    --------
    >>> hits_at_rates([0.9, 0.8, 0.7, 0.1], [True, True, False, False], [0.0, 0.25])
    array([0.5 , 0.75])
    """
    score, good = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(-score, kind="stable")
    ranked, total = score[order], weight.sum()
    hits, wrong = np.cumsum(weight[order]) / total, np.cumsum((weight * ~good)[order]) / total
    ends = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
    hits, wrong = np.append(0.0, hits[ends]), np.append(0.0, wrong[ends])
    found: Floats = hits[np.searchsorted(wrong, np.asarray(rates, dtype=np.float64) + 1e-12, side="right") - 1]
    return found


def trade_off(scores: ArrayLike, right: ArrayLike, n_points: int = 200, most: float = 0.1) -> tuple[Floats, Floats]:
    """Return false-hit rates up to ``most``, and the hit rate at each: a curve to draw."""
    rates = np.linspace(0.0, most, n_points)
    return rates, hits_at_rates(scores, right, rates)


@dataclass(frozen=True)
class Resampling:
    """Bootstrap weights of lookups, and what was drawn.

    Parameters
    ----------
    weights
        (r, n) how often each lookup counts in each resample.
    n_units
        What was drawn with replacement: lookups that come and go together.
    largest
        Lookups in the largest unit.
    n_split
        Lookups of components too large to be drawn whole, drawn by text instead.
    """

    weights: Floats
    n_units: int
    largest: int
    n_split: int

    @property
    def description(self) -> dict[str, int | str]:
        """What was drawn, as plain values for a report."""
        whole = "lookups connected through shared texts together"
        split = f"{whole}, but those of a component with over {_LARGEST_SHARE:.0%} of all by text"
        return {
            "drawn": split if self.n_split else whole,
            "resamples": len(self.weights),
            "units": self.n_units,
            "lookups_in_largest_unit": self.largest,
            "lookups_drawn_by_text": self.n_split,
        }


def resample(
    components: NDArray[np.int64], texts: NDArray[np.int64], n_resamples: int, rng: np.random.Generator
) -> Resampling:
    """Return a bootstrap in which connected lookups are drawn together.

    A component with over a tenth of all lookups is too large to be drawn whole. It alone is split: each of its lookups
    goes with the others of that one of its texts that comes up more often.

    Parameters
    ----------
    components
        (n,) which lookups are connected.
    texts
        (n, 2) numbers of their texts.
    n_resamples
        How many.
    rng
        Draws them.
    """
    units, n_split = _units(components, texts)
    names, of_row, sizes = np.unique(units, return_inverse=True, return_counts=True)
    counts = np.zeros((n_resamples, len(names)))
    for row in counts:
        row[:] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return Resampling(counts[:, of_row], len(names), int(sizes.max()), n_split)


def _units(components: NDArray[np.int64], texts: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return (n,) the unit of each lookup, and how many lookups are not with their whole component."""
    names, of_row, sizes = np.unique(components, return_inverse=True, return_counts=True)
    most = _LARGEST_SHARE * len(components)
    split = np.flatnonzero(sizes[of_row] > most)
    units = of_row.astype(np.int64)
    if not len(split):
        return units, 0
    _, inside = np.unique(texts[split], return_inverse=True)
    inside = inside.reshape(-1, 2)
    often = np.bincount(inside.ravel())[inside]
    busier = np.where(often[:, 0] >= often[:, 1], 0, 1)
    # A text that is itself in over a tenth of all lookups holds none together: they go with their other text, or alone.
    chosen = np.where(often.max(axis=1) > most, 1 - busier, busier)
    rows = np.arange(len(split))
    alone = often[rows, chosen] > most
    units[split] = len(names) + np.where(alone, inside.max() + 1 + rows, inside[rows, chosen])
    return units, len(split)


def interval(value: float, resampled: ArrayLike) -> Interval:
    """Return a figure with the 2.5% and 97.5% quantiles of its resamples."""
    drawn = np.asarray(resampled, dtype=np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return Interval(None)
    if not len(drawn):
        return Interval(float(value))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(value), float(low), float(high))
