"""Metrics of a running experiment, from the log of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.errors import DataError, InputError
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.log_metric_names import LOG_METRICS, LogMetric
from beast_ml.experiments.observations import Observations
from beast_ml.experiments.past_shares import PastShares, drawn_by
from beast_ml.logs.sql_values import time_sql
from beast_ml.logs.store import LogStore

__all__ = ["observe", "shares_now"]

Floats = NDArray[np.float64]

BEFORE: Final = "before"
"""The covariate that is a unit's own mean of the metric before the experiment began."""


@dataclass(frozen=True)
class _Metric:
    """How a metric is read: its value, null where a request has none, and when that was known."""

    value: str
    known_at: str


_METRICS: Final[dict[LogMetric, _Metric]] = {
    # What the user got, whoever answered: the variant answers for its fallbacks, too.
    "quality": _Metric("quality", "greatest(received_at, coalesce(feedback_at, received_at))"),
    "feedback": _Metric(
        "CASE WHEN quality_source = 'user' THEN quality END",
        "greatest(received_at, coalesce(feedback_at, received_at))",
    ),
    # An answer from the cache costs nothing: that it can, is the variant's doing.
    "cost": _Metric(
        "CASE WHEN cost_usd IS NOT NULL THEN cost_usd WHEN cache_result IN ('exact', 'semantic') THEN 0.0 END",
        "received_at",
    ),
    "latency": _Metric("CASE WHEN status = 'ok' THEN latency_s END", "received_at"),
    # Nobody waited for the cancelled ones, and the rejected ones never came to a variant.
    "errors": _Metric(
        "CASE WHEN status IN ('error', 'timeout') THEN 1.0 WHEN status = 'ok' THEN 0.0 END", "received_at"
    ),
}

_UNITS: Final = {
    "user": "coalesce('user ' || user_id, 'request ' || request_id)",
    "session": "coalesce('session ' || session_id, 'request ' || request_id)",
    "request": "'request ' || request_id",
}


def observe(
    store: LogStore, experiment: Experiment, metric: str, now: datetime, covariates: Sequence[str] = ()
) -> Observations:
    """Return what a log knows of a metric of an experiment; units are those that it draws.

    Where shares changed on the way (a ramp-up, the best-arm mode), an observation counts for 1 over the share that its
    variant had then: else a variant that grew while everything became better would look better. Whether units are
    divided as meant is then checked by the shares of each unit's first request.

    Parameters
    ----------
    store
        The log.
    experiment
        Its variants are reported even when nothing was observed of them.
    metric
        One of `LOG_METRICS`.
    now
        Aware.
    covariates
        ``before`` for the unit's own past. The log's predictions are no covariates: they are made for the model that
        the variant chose.

    Raises
    ------
    InputError
        If there is no such metric or covariate.
    DataError
        If nothing of the experiment is in the log.
    """
    if metric not in _METRICS:
        raise InputError(f"`metric` == {metric!r}, must be one of {', '.join(LOG_METRICS)}")
    if unknown := [name for name in covariates if name != BEFORE]:
        raise InputError(
            f"covariate {unknown[0]!r}: of a log only {BEFORE!r} was known before a variant acted (what is predicted "
            "there is for the model that the variant chose); give --data with a column of your own for others"
        )
    table = _rows(store, experiment, metric)
    if table.num_rows == 0:
        raise DataError(
            f"the log {store.path} has no request of experiment {experiment.id!r}: is it running, and is the log "
            "compacted (beast logs compact)?"
        )
    unobserved = pc.sum(pc.is_null(table["value"])).as_py() or 0
    table = table.filter(pc.is_valid(table["value"]))
    if table.num_rows == 0:
        raise DataError(f"no request of experiment {experiment.id!r} has a {metric} yet: wait for outcomes or feedback")
    if covariates:
        table = table.append_column(BEFORE, _past(store, experiment, metric, table))
    names = [variant.name for variant in experiment.variants]
    changed = _shares_changed(experiment)
    if changed:
        table = table.append_column("weight", pa.array(_weights(table["received_at"], table["variant"], experiment)))
    meant = None if shares_now(experiment) else drawn_by(table, store, experiment, _UNITS[experiment.unit])
    observations = Observations.from_table(table, now, covariates, names, meant)
    notes = [f"{unobserved} requests have no {metric}: compared are those that have"] if unobserved else []
    if observations.meant is not None and not np.isfinite(observations.meant).all(axis=1).any():
        notes.append(
            "whether units are divided as meant was not checked: none came first while two variants had shares"
        )
    if changed:
        notes.append("shares changed on the way: each request counts for 1 over the share that its variant had then")
    return replace(observations, notes=(*observations.notes, *notes))


def shares_now(experiment: Experiment) -> dict[str, float]:
    """Return the shares that the variants were meant to have, if they always had the same; else see `observe`."""
    shares = {variant.name: variant.share for variant in experiment.variants}
    return {} if _shares_changed(experiment) or not all(shares.values()) else shares


def _shares_changed(experiment: Experiment) -> bool:
    """Return whether the variants have had different shares; that it was stopped is no change of shares."""
    return len({tuple(sorted(each.shares.items())) for each in experiment.history if each.shares}) > 1


def _rows(store: LogStore, experiment: Experiment, metric: str) -> pa.Table:
    chosen = _METRICS[metric]  # type: ignore[index]  # looked up by the caller
    # Ids are letters, digits, '_', '.' and '-'.
    return store.sql(
        f"SELECT tenant_id || chr(0) || {_UNITS[experiment.unit]} AS unit_id, request_id, variant, "  # noqa: S608
        f"CAST({chosen.value} AS DOUBLE) AS value, {chosen.known_at} AS observed_at, received_at "
        f"FROM log WHERE experiment_id = '{experiment.id}' AND variant IS NOT NULL"
    )


def _past(store: LogStore, experiment: Experiment, metric: str, table: pa.Table) -> pa.Array:
    """Return, for each row, the mean of the metric over its unit's requests before the experiment's first one."""
    chosen = _METRICS[metric]  # type: ignore[index]  # as above
    began: datetime = pc.min(table["received_at"]).as_py()
    past = store.sql(
        f"SELECT tenant_id || chr(0) || {_UNITS[experiment.unit]} AS unit_id, avg({chosen.value}) AS mean "  # noqa: S608
        f"FROM log WHERE received_at < {time_sql(began)} "
        f"AND ({chosen.value}) IS NOT NULL GROUP BY 1"
    )
    position = pc.index_in(table["unit_id"].combine_chunks(), past["unit_id"].combine_chunks())
    found = past["mean"].combine_chunks().take(pc.fill_null(position, 0)) if past.num_rows else None
    if found is None:
        raise DataError("no request came before the experiment, so there is no past to adjust by: leave it out")
    known: Any = pc.if_else(pc.is_valid(position), found, pa.scalar(None, pa.float64()))
    return known


def _weights(received_at: pa.ChunkedArray, variant: pa.ChunkedArray, experiment: Experiment) -> Floats:
    """Return 1 over the share that each request's variant had when it came; 0 where it had none."""
    past = PastShares.of(experiment)
    known = past.variant_numbers(variant)
    drawn_with = np.where(known >= 0, past.shares[past.period(received_at), known], 0.0)
    weight = np.where(drawn_with > 0, 1.0 / np.maximum(drawn_with, np.finfo(float).tiny), 0.0)
    return weight / weight[weight > 0].mean() if (weight > 0).any() else weight
