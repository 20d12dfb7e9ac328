"""Metrics of two-model pools by the share of calls to the strong model: PGR, APGR, CPT (RouteLLM, arXiv 2406.18665).

The performance gap recovered is PGR = (q - q_weak) / (q_strong - q_weak). Queries are ranked by how much better the
strong model is expected to be; thresholds sit at the deciles of that score.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import QueryBootstrap

__all__ = ["CALL_TARGETS", "strong_call_metrics"]

Floats = NDArray[np.float64]

CALL_TARGETS: Final = (0.5, 0.8)
"""Shares of the performance gap for which the least share of strong calls is asked."""

_SHARES: Final = np.arange(1, 10) / 10


def strong_call_metrics(
    score: Floats, weak_quality: Floats, strong_quality: Floats, bootstrap: QueryBootstrap
) -> dict[str, Floats]:
    """Return ``apgr``, ``cpt50`` and ``cpt80``, each on the data and on every resample.

    ``apgr`` is the area under PGR over the share of strong calls (trapezoid over the deciles, from all weak to all
    strong): 0.5 for a coin. ``cptX`` is the least share of strong calls, 0..1, that recovers X% of the gap. All are
    NaN where the strong model is not better.

    Parameters
    ----------
    score
        (s,) expected advantage of the strong model.
    weak_quality, strong_quality
        (s,) realised qualities.
    """
    thresholds = np.quantile(score, 1.0 - _SHARES)
    calls = score[:, None] >= thresholds[None, :]
    quality = np.where(calls, strong_quality[:, None], weak_quality[:, None])
    means = bootstrap.means(np.column_stack([calls, quality, weak_quality, strong_quality]))
    k = len(_SHARES)
    weak, strong = means[:, 2 * k], means[:, 2 * k + 1]
    gap = np.where(strong > weak, strong - weak, np.nan)
    ends = np.zeros((len(means), 1)), np.ones((len(means), 1))
    shares = np.hstack([ends[0], means[:, :k], ends[1]])
    recovered = np.hstack([ends[0], (means[:, k : 2 * k] - weak[:, None]) / gap[:, None], ends[1]])
    metrics = {"apgr": np.where(np.isnan(gap), np.nan, np.trapezoid(recovered, shares, axis=1))}
    for target in CALL_TARGETS:
        metrics[f"cpt{target:.0%}".rstrip("%")] = _least_share(shares, recovered, target)
    return metrics


def _least_share(shares: Floats, recovered: Floats, target: float) -> Floats:
    """Return where each row first reaches the target, interpolated between its points; NaN where it is undefined."""
    reached = recovered >= target
    after = np.maximum(reached.argmax(axis=1), 1)  # the first point recovers nothing, the last everything
    rows = np.arange(len(shares))
    low, high = recovered[rows, after - 1], recovered[rows, after]
    start, stop = shares[rows, after - 1], shares[rows, after]
    with np.errstate(invalid="ignore"):
        least = start + (target - low) / (high - low) * (stop - start)
    return np.where(np.isfinite(recovered).all(axis=1), least, np.nan)
