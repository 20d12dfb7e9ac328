"""Intervals by resampling queries: all routers of a run share the draws, so their differences are paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "QueryBootstrap"]

Floats = NDArray[np.float64]

_BATCH: Final = 128
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

    def first(self, n_resamples: int) -> QueryBootstrap:
        """Return the first resamples alone, for statistics that are dear to compute."""
        return QueryBootstrap(self.draws[:n_resamples])

    def weights(self, start: int, stop: int) -> Floats:
        """Return (stop - start, n) weights of the queries in these resamples; each row sums to 1."""
        n = self.draws.shape[1]
        counts = np.empty((max(min(stop, len(self.draws)) - start, 0), n))
        for row, draw in zip(counts, self.draws[start:stop], strict=True):
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
