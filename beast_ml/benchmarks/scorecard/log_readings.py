"""Readings of a log of requests: a deployment's own, or that of the drill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.scorecard.score import Reading
from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.proportion import trials_of_grades, wilson
from beast_ml.logs.store import LogStore

__all__ = [
    "cost_of_a_request",
    "feedback_coverage",
    "log_figures",
    "log_share",
    "satisfaction",
    "spend_accuracy",
    "worst_imbalance",
]

Floats = NDArray[np.float64]

WINDOW: Final = 1000
"""Calls of a model over which equal endpoints must share them equally."""

_NO_COST: Final = (
    "no answer of the log has a cost: give the candidates prices, under `candidates` in mlflow.yaml, or the costs that "
    "the provider charged, by POST /v1/outcomes"
)
_NO_PREDICTION: Final = (
    "no answer of the log has both a cost and a predicted one: predictions are logged by `beast serve`, or given to "
    "`beast logs ingest` as `predicted_cost_usd`"
)
_NO_RATING: Final = "no user rated an answer of the log: POST /v1/feedback with the source `user` does"
_DRILL: Final = "{} of a drill: give the log of a deployment by --store"
# Rejected and cancelled requests ended as their sender or a rule wanted it.
_COUNTS: Final = """
SELECT
    count(*) FILTER (status IN ('ok', 'error', 'timeout')) AS ended,
    count(*) FILTER (status IN ('error', 'timeout')) AS failed,
    count(*) FILTER (status = 'ok' AND chosen_model IS NOT NULL) AS answered,
    count(*) FILTER (status = 'ok' AND len(attempts) > 1) AS fallen_back,
    count(*) FILTER (status = 'ok' AND chosen_model IS NOT NULL AND quality IS NOT NULL) AS labelled,
    count(*) FILTER (status = 'ok' AND quality_source = 'user') AS rated,
    count(*) FILTER (cache_result IN ('exact', 'semantic')) AS hits,
    count(*) FILTER (cache_result IN ('exact', 'semantic', 'miss')) AS looked_up
FROM log
"""
_COSTS: Final = """
SELECT cost_usd, predicted_cost_usd FROM log
WHERE status = 'ok' AND cost_usd IS NOT NULL AND chosen_model IS NOT NULL
"""
_RATINGS: Final = "SELECT quality FROM log WHERE status = 'ok' AND quality_source = 'user'"
_CALLS: Final = """
SELECT served_model AS model, endpoint FROM log
WHERE endpoint IS NOT NULL AND served_model IS NOT NULL AND status = 'ok' ORDER BY received_at
"""


def log_figures(store: LogStore, *, of_drill: bool = False) -> dict[str, Any]:
    """Return what the readings need of a log, as plain values.

    Parameters
    ----------
    of_drill
        Whether a drill wrote it: nobody rates its answers, and its provider charges nothing.

    Raises
    ------
    NotEnoughDataError
        If it holds no request.
    """
    counts: dict[str, Any] = store.sql(_COUNTS).to_pylist()[0]
    if not counts["ended"]:
        raise NotEnoughDataError(f"{store.path} holds no request that ended: serve some, then `beast logs compact`")
    costs, calls = store.sql(_COSTS).to_pydict(), store.sql(_CALLS).to_pydict()
    pairs = zip(costs["cost_usd"], costs["predicted_cost_usd"], strict=True)
    predicted = [(cost, said) for cost, said in pairs if said is not None]
    accuracy = _accuracy(np.array(predicted, dtype=float)) if predicted else None
    return {
        **counts,
        "of_drill": of_drill,
        "satisfaction": _grades(store.sql(_RATINGS)["quality"].to_numpy()),
        "mean_cost_usd": _mean(np.array(costs["cost_usd"], dtype=float)),
        "spend_accuracy": accuracy,
        "imbalance": imbalance_of(calls["model"], calls["endpoint"]),
    }


def log_share(what: str, of: str) -> Callable[[Mapping[str, Any]], Reading | None]:
    """Return what reads the share of counts among other counts."""

    def read(figures: Mapping[str, Any]) -> Reading | None:
        return Reading.of_share(figures[what], figures[of], f"{figures[of]:,} requests")

    return read


def feedback_coverage(figures: Mapping[str, Any]) -> Reading | None:
    """Return the share of answers that have a label; it raises for a drill."""
    if figures["of_drill"]:
        raise NotEnoughDataError(_DRILL.format("nobody rates the answers"))
    return log_share("labelled", "answered")(figures)


def satisfaction(figures: Mapping[str, Any]) -> Reading | None:
    """Return the mean grade that users gave; it raises where nobody gave one."""
    if figures["satisfaction"] is None:
        raise NotEnoughDataError(_DRILL.format("nobody rates the answers") if figures["of_drill"] else _NO_RATING)
    mean, low, high = figures["satisfaction"]
    return Reading(mean, low, high, note=f"{figures['rated']:,} requests")


def spend_accuracy(figures: Mapping[str, Any]) -> Reading | None:
    """Return how near predicted spend came to the true one; it raises where no answer has both."""
    if figures["spend_accuracy"] is None:
        raise NotEnoughDataError(_no_cost(figures) if figures["mean_cost_usd"] is None else _NO_PREDICTION)
    return Reading(*figures["spend_accuracy"])


def cost_of_a_request(figures: Mapping[str, Any]) -> Reading | None:
    """Return the mean cost of an answer, in USD; it raises where no answer has one."""
    if figures["mean_cost_usd"] is None:
        raise NotEnoughDataError(_no_cost(figures))
    return Reading(*figures["mean_cost_usd"])


def worst_imbalance(figures: Mapping[str, Any]) -> Reading | None:
    """Return how unequally endpoints of one model shared any thousand calls of it; it raises where none has as many."""
    if figures["imbalance"] is None:
        raise NotEnoughDataError(f"no model has {WINDOW:,} answers of two endpoints or more in the log")
    return Reading(figures["imbalance"], note=f"the worst {WINDOW:,} calls one after another of any model")


def imbalance_of(models: Sequence[str], endpoints: Sequence[str]) -> float | None:
    """Return (max - mean) / mean of calls by endpoint over any thousand calls of a model, the worst of all.

    None where no model has a thousand calls of two endpoints.

    Examples
    --------
    >>> imbalance_of(["a"] * 1000, ["x", "y"] * 500), imbalance_of(["a"] * 1000, ["x"] * 600 + ["y"] * 400)
    (0.0, 0.2)
    """
    found: list[float] = []
    model_of, endpoint_of = np.array(models), np.array(endpoints)
    for model in sorted(set(models)):
        taken = endpoint_of[model_of == model]
        names = sorted(set(taken.tolist()))
        if len(names) < 2 or len(taken) < WINDOW:
            continue
        sums = np.zeros((len(taken) + 1, len(names)))
        sums[1:] = np.cumsum(taken[:, None] == np.array(names), axis=0)
        windows = sums[WINDOW:] - sums[:-WINDOW]
        found.append(float((windows.max(axis=1) * len(names) / WINDOW - 1.0).max()))
    return round(max(found), 12) if found else None


def _no_cost(figures: Mapping[str, Any]) -> str:
    return _DRILL.format("the provider charges nothing for the answers") if figures["of_drill"] else _NO_COST


def _grades(grades: Floats) -> tuple[float, float, float] | None:
    if not grades.size:
        return None
    mean = float(grades.mean())
    return mean, *wilson(mean, trials_of_grades(grades))


def _accuracy(pairs: Floats) -> tuple[float, float, float]:
    """Return 1 - |predicted - spent| / spent of the sums, with the ends that the ratio's standard error gives."""
    spent, predicted = pairs.T
    if not spent.sum():
        return 1.0, 1.0, 1.0
    ratio = float(predicted.sum() / spent.sum())
    error = 1.96 * float(np.std(predicted - ratio * spent)) / (len(pairs) ** 0.5 * float(spent.mean()))
    near = [1.0 - abs(end - 1.0) for end in (ratio - error, ratio, ratio + error)]
    return near[1], min(near), 1.0 if ratio - error <= 1.0 <= ratio + error else max(near)


def _mean(values: Floats) -> tuple[float, float, float] | None:
    if not values.size:
        return None
    mean, error = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean, mean - error, mean + error
