"""What a log can and cannot be used for: its size, its gaps, its propensities, and what looks wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.domain import Clock
from beast_ml.logs.quality_warnings import suspicions
from beast_ml.logs.schema import REQUEST_COLUMNS
from beast_ml.logs.store import LogStore

__all__ = ["LogQuality", "ModelQuality", "PropensityQuality", "log_quality", "quarantine_counts"]


@dataclass(frozen=True)
class ModelQuality:
    """One candidate model in a log; rates are 0..1, None where nothing is known.

    Parameters
    ----------
    model
        Its name.
    n_candidate
        Requests that could have been sent to it.
    n_chosen
        Requests that were.
    choice_share
        Part of all choices.
    failure_rate
        Part of its choices that it did not answer, of those whose end is known and that nobody gave up.
    n_labelled
        Answers of it that have a quality.
    mean_quality
        Mean of these.
    mean_cost_usd, mean_latency_s
        Mean over its answers.
    """

    model: str
    n_candidate: int
    n_chosen: int
    choice_share: float | None
    failure_rate: float | None
    n_labelled: int
    mean_quality: float | None
    mean_cost_usd: float | None
    mean_latency_s: float | None


@dataclass(frozen=True)
class PropensityQuality:
    """How much the log's choices say about other policies.

    Parameters
    ----------
    n_choices
        Requests a model was chosen for.
    null_share
        Part of them whose propensity is unknown.
    minimum, maximum
        Of the known ones.
    effective_sample_size
        (sum w)^2 / sum w^2 of the weights 1 / propensity (Kish): how many uniform choices the log is worth.
    """

    n_choices: int
    null_share: float | None
    minimum: float | None
    maximum: float | None
    effective_sample_size: float | None


@dataclass(frozen=True)
class LogQuality:
    """A data-quality report.

    Parameters
    ----------
    n_requests, n_tenants, n_answered
        Requests, distinct tenants, requests whose status is ok.
    first_at, last_at
        When the first and the last request were received.
    days
        Day (ISO 8601, UTC) -> number of requests.
    null_shares
        Column -> part of the requests where it is unknown.
    statuses, cache_results
        Value -> number of requests.
    feedback_coverage
        Part of the answers of a model that have a quality; None without answers.
    models
        By number of choices, then name.
    propensity
        What the choices are good for.
    n_duplicates
        Requests beyond the first of each id; an ingested log has none.
    n_feedback_before_request
        Labels that are older than their request.
    n_fallback_answers
        Answers by a model that was not the chosen one.
    n_quality_values
        Distinct values of quality.
    quarantined
        Reason -> number of rows that were refused at ingest.
    suspicions
        What looks wrong, in words.
    """

    n_requests: int
    n_tenants: int
    n_answered: int
    first_at: datetime | None
    last_at: datetime | None
    days: Mapping[str, int]
    null_shares: Mapping[str, float]
    statuses: Mapping[str, int]
    cache_results: Mapping[str, int]
    feedback_coverage: float | None
    models: tuple[ModelQuality, ...]
    propensity: PropensityQuality
    n_duplicates: int
    n_feedback_before_request: int
    n_fallback_answers: int
    n_quality_values: int
    quarantined: Mapping[str, int]
    suspicions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; times in ISO 8601."""
        values = asdict(self)
        for name in ("first_at", "last_at"):
            values[name] = None if values[name] is None else values[name].isoformat()
        return values


def log_quality(store: LogStore, clock: Clock, quarantined: Mapping[str, int] | None = None) -> LogQuality:
    """Return the data-quality report of a store.

    Parameters
    ----------
    store
        The log.
    clock
        Tells which requests lie in the future.
    quarantined
        Reason -> number of refused rows, from `quarantine_counts` or an ingest's summary.
    """
    [whole] = store.sql(_WHOLE).to_pylist()
    nulls = ", ".join(f'1 - count("{name}") / greatest(count(*), 1) AS "{name}"' for name in REQUEST_COLUMNS)
    [null_shares] = store.sql(f"SELECT {nulls} FROM log").to_pylist()  # noqa: S608 - column names only
    report = LogQuality(
        **whole,
        days=_counts(store, "strftime(received_at, '%Y-%m-%d')", by_count=False),
        null_shares=null_shares,
        statuses=_counts(store, "status"),
        cache_results=_counts(store, "cache_result"),
        models=tuple(ModelQuality(**row) for row in store.sql(_MODELS).to_pylist()),
        propensity=PropensityQuality(**store.sql(_PROPENSITY).to_pylist()[0]),
        quarantined=dict(quarantined or {}),
    )
    return replace(report, suspicions=tuple(suspicions(report, clock.now())))


def quarantine_counts(files: Iterable[Path]) -> dict[str, int]:
    """Return reason -> number of rows in quarantine files, most frequent first."""
    reasons: Counter[str] = Counter()
    decoder = msgspec.json.Decoder(_Reason)
    for file in files:
        with file.open("rb") as lines:
            reasons.update(decoder.decode(line).reason for line in lines)
    return dict(reasons.most_common())


class _Reason(msgspec.Struct):
    reason: str


def _counts(store: LogStore, expression: str, *, by_count: bool = True) -> dict[str, int]:
    order = "n DESC, value" if by_count else "value"
    rows = store.sql(
        f"SELECT {expression} AS value, count(*) AS n FROM log GROUP BY 1 HAVING value IS NOT NULL "  # noqa: S608 - fixed expressions
        f"ORDER BY {order}"
    ).to_pylist()
    return {row["value"]: row["n"] for row in rows}


_WHOLE: Final = """
    SELECT
        count(*) AS n_requests,
        count(DISTINCT tenant_id) AS n_tenants,
        count(*) FILTER (status = 'ok') AS n_answered,
        min(received_at) AS first_at,
        max(received_at) AS last_at,
        count(quality) FILTER (served_model IS NOT NULL) / nullif(count(served_model), 0) AS feedback_coverage,
        count(*) - count(DISTINCT request_id) AS n_duplicates,
        count(*) FILTER (feedback_at < received_at) AS n_feedback_before_request,
        count(*) FILTER (served_model <> chosen_model) AS n_fallback_answers,
        count(DISTINCT quality) AS n_quality_values
    FROM log
"""

_MODELS: Final = """
    WITH offered AS (
        SELECT model, count(*) AS n FROM (SELECT unnest(list_distinct(candidates)) AS model FROM log) GROUP BY model
    ), chosen AS (
        SELECT
            chosen_model AS model,
            count(*) AS n,
            avg(CASE WHEN served_model IS NULL AND status = 'cancelled' THEN NULL
                WHEN served_model IS NOT DISTINCT FROM chosen_model THEN 0 ELSE 1 END) AS failure_rate
        FROM log WHERE chosen_model IS NOT NULL GROUP BY 1
    ), served AS (
        SELECT
            served_model AS model,
            count(quality) AS n_labelled,
            avg(quality) AS mean_quality,
            avg(cost_usd) AS mean_cost_usd,
            avg(latency_s) AS mean_latency_s
        FROM log WHERE served_model IS NOT NULL GROUP BY 1
    )
    SELECT
        model,
        coalesce(offered.n, 0) AS n_candidate,
        coalesce(chosen.n, 0) AS n_chosen,
        coalesce(chosen.n, 0) / nullif((SELECT sum(n) FROM chosen), 0) AS choice_share,
        failure_rate,
        coalesce(n_labelled, 0) AS n_labelled,
        mean_quality,
        mean_cost_usd,
        mean_latency_s
    FROM offered FULL JOIN chosen USING (model) FULL JOIN served USING (model)
    ORDER BY n_chosen DESC, model
"""

_PROPENSITY: Final = """
    SELECT
        count(chosen_model) AS n_choices,
        1 - count(propensity) / nullif(count(chosen_model), 0) AS null_share,
        min(propensity) AS minimum,
        max(propensity) AS maximum,
        pow(sum(1 / propensity), 2) / sum(pow(1 / propensity, 2)) AS effective_sample_size
    FROM log
"""
