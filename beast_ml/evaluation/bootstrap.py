"""Intervals by resampling queries: all routers of a run share the draws, so their differences are paired."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "QueryBootstrap"]

Floats = NDArray[np.float64]

_BATCH: Final = 128
_KEEP_UP_TO: Final = 20_000_000  # 160 MB
_INTERVAL: Final = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95% bootstrap interval; None where the data do not define it.

    Parameters
    ----------
    value
        The statistic on the data themselves.
    low, high
        The 2.5% and 97.5% quantiles over the resamples.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, statistics: Floats) -> Estimate:
        """Return the estimate from a statistic computed on the data (first) and on every resample (the rest).

        Resamples on which the statistic is not defined (NaN) are left out of the interval.
        """
        value, resampled = float(statistics[0]), statistics[1:][np.isfinite(statistics[1:])]
        if not np.isfinite(value):
            return cls(None)
        if resampled.size == 0:
            return cls(value)
        low, high = np.percentile(resampled, _INTERVAL)
        return cls(value, float(low), float(high))

    def within(self, lowest: float, highest: float) -> Estimate:
        """Return the estimate cut to what the statistic can be; an interval that lies beyond that says nothing.

        Examples
        --------
        >>> Estimate(-0.1, -0.3, 0.2).within(0.0, 1.0)
        Estimate(value=0.0, low=0.0, high=0.2)
        >>> Estimate(-0.2, -0.3, -0.1).within(0.0, 1.0)
        Estimate(value=0.0, low=None, high=None)
        """

        def cut(end: float | None) -> float | None:
            return None if end is None else min(max(end, lowest), highest)

        if self.low is None or self.high is None or self.high < lowest or self.low > highest:
            return Estimate(cut(self.value))
        return Estimate(cut(self.value), cut(self.low), cut(self.high))

    def to_dict(self) -> dict[str, float | None]:
        """Return the estimate for a report."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class QueryBootstrap:
    """Fixed draws of queries with replacement.

    Parameters
    ----------
    draws
        (r, n) positions of the drawn queries.
    """

    draws: NDArray[np.int32]

    @classmethod
    def draw(cls, rng: np.random.Generator, n_queries: int, n_resamples: int) -> QueryBootstrap:
        """Return r resamples of n queries each."""
        return cls(rng.integers(n_queries, size=(n_resamples, n_queries), dtype=np.int32))

    @classmethod
    def draw_by_question(
        cls, rng: np.random.Generator, questions: NDArray[np.intp], n_resamples: int
    ) -> QueryBootstrap:
        """Return r resamples in which the queries of one question come and go together.

        Whole questions are drawn until there are as many queries as before; the last is cut short.

        Parameters
        ----------
        questions
            (n,) number of each query's question, 0 .. q-1.
        """
        n, counts = len(questions), np.bincount(questions)
        if counts.max(initial=1) == 1:
            return cls.draw(rng, n, n_resamples)
        order, first = np.argsort(questions, kind="stable"), np.cumsum(counts) - counts
        draws = np.empty((n_resamples, n), dtype=np.int32)
        for draw in draws:
            drawn = rng.integers(len(counts), size=n)
            drawn = drawn[: int(np.searchsorted(np.cumsum(counts[drawn]), n)) + 1]
            sizes = counts[drawn]
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            draw[:] = order[np.repeat(first[drawn], sizes) + within][:n]
        return cls(draws)

    def first(self, n_resamples: int) -> QueryBootstrap:
        """Return the first resamples alone, for statistics that are dear to compute."""
        return QueryBootstrap(self.draws[:n_resamples])

    @cached_property
    def _kept(self) -> Floats | None:
        """Return all weights when they are worth the memory: every router is averaged with them anew."""
        return self._count(self.draws) if self.draws.size <= _KEEP_UP_TO else None

    def weights(self, start: int, stop: int) -> Floats:
        """Return (stop - start, n) weights of the queries in these resamples; each row sums to 1."""
        return self._count(self.draws[start:stop]) if self._kept is None else self._kept[start:stop]

    def _count(self, draws: NDArray[np.int32]) -> Floats:
        n = draws.shape[1]
        counts = np.empty(draws.shape)
        for row, draw in zip(counts, draws, strict=True):
            row[:] = np.bincount(draw, minlength=n)
        counts /= n
        return counts

    def means(self, columns: Floats) -> Floats:
        """Return (1 + r, k) column means of (n, k) values: on all queries first, then on each resample."""
        out = np.empty((1 + len(self.draws), columns.shape[1]))
        out[0] = columns.mean(axis=0)
        for start in range(0, len(self.draws), _BATCH):
            stop = min(start + _BATCH, len(self.draws))
            np.matmul(self.weights(start, stop), columns, out=out[1 + start : 1 + stop])
        return out
