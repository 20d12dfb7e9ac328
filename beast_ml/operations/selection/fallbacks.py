"""How often a fallback answered, why, what it cost and what it lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.logs.logged import LoggedOutcomes

__all__ = ["FallbackCount", "count_fallbacks"]


@dataclass(frozen=True)
class FallbackCount:
    """Requests whose chosen model failed, of one model and one kind of error.

    Parameters
    ----------
    model, error_kind
        Which chosen model, and why its attempt failed; "unknown" where the log does not say.
    n_failed
        How many.
    rate
        Of the requests that the model was chosen for, 0..1.
    n_rescued
        Of those that failed, how many a fallback answered.
    extra_usd
        Mean cost of the fallback's answers above what the chosen model was predicted to cost, USD; None without any.
    lost_quality
        Mean quality that the chosen model was predicted to have above what came of the request, 0..1: 0 for one that
        nobody answered; None where no outcome is known.
    """

    model: str
    error_kind: str
    n_failed: int
    rate: float
    n_rescued: int
    extra_usd: float | None
    lost_quality: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def count_fallbacks(
    logged: LoggedOutcomes,
    attempts: Mapping[str, Sequence[Mapping[str, Any]]],
    quality: Floats,
    cost: Floats,
    predicted_quality: Floats,
    predicted_cost: Floats,
) -> list[FallbackCount]:
    """Return what fallbacks there were, the most frequent first.

    Parameters
    ----------
    attempts
        Request id -> its attempts, as the log has them.
    quality, cost
        (n,) of each request as it ended.
    predicted_quality, predicted_cost
        (n, m) of every model.
    """
    rows: dict[tuple[int, str], list[int]] = defaultdict(list)
    ids = logged.matrix.query_ids
    for i in np.flatnonzero(logged.failed).tolist():
        model = logged.matrix.models[logged.chosen[i]]
        rows[int(logged.chosen[i]), _why(attempts.get(str(ids[i]), ()), model)].append(i)
    asked = np.bincount(logged.chosen, minlength=len(logged.matrix.models))
    found = []
    for (j, kind), failed in rows.items():
        index = np.array(failed)
        rescued = index[logged.served[index] >= 0]
        found.append(
            FallbackCount(
                model=logged.matrix.models[j],
                error_kind=kind,
                n_failed=len(index),
                rate=len(index) / int(asked[j]),
                n_rescued=len(rescued),
                extra_usd=_mean(cost[rescued] - predicted_cost[rescued, j]),
                lost_quality=_mean(predicted_quality[index, j] - quality[index]),
            )
        )
    return sorted(found, key=lambda each: (-each.n_failed, each.model, each.error_kind))


def _why(attempts: Sequence[Mapping[str, Any]], model: str) -> str:
    for attempt in attempts:
        if attempt["model"] == model and attempt["status"] != "ok":
            return str(attempt["error_kind"] or attempt["status"])
    return "unknown"


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
