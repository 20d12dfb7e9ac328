"""Hit rate against false-hit rate: what a score is worth, whatever its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Counts", "Interval", "hits_at_rates", "interval", "resample_weights", "trade_off"]

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


def resample_weights(components: NDArray[np.int64], n_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (r, n) bootstrap weights; connected lookups are drawn together, unless nearly all are connected."""
    groups, of_row, sizes = np.unique(components, return_inverse=True, return_counts=True)
    if sizes.max() > _LARGEST_SHARE * len(components):
        groups, of_row = np.arange(len(components)), np.arange(len(components))
    counts = np.zeros((n_resamples, len(groups)))
    for row in counts:
        row[:] = np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups))
    return counts[:, of_row]


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
