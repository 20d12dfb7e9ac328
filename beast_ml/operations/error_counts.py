"""A log as counts of calls, failures and refusals: by time, model, kind of error and what else may tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError, InputError
from beast_ml.logs.endings import ENDED, FAILED, REFUSED, status_sql
from beast_ml.logs.schema import ATTEMPT_ENDPOINTS
from beast_ml.logs.sql_values import time_sql
from beast_ml.logs.store import LogStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DIMENSIONS", "ErrorCounts", "RequestTotals", "count_errors"]

Counts = NDArray[np.int64]

DIMENSIONS: Final[dict[str, str]] = {
    "endpoint": "endpoint",
    "region": "region",
    "tenant": "tenant_id",
    "app": "app",
    "request kind": "request_kind",
    "policy version": "policy_version",
    "price version": "price_version",
    "prompt length": "CASE "
    + " ".join(
        f"WHEN input_tokens < {below} THEN '{words}'"
        for below, words in (
            (128, "below 128 tokens"),
            (512, "128 to 511 tokens"),
            (2_048, "512 to 2,047 tokens"),
            (8_192, "2,048 to 8,191 tokens"),
            (32_768, "8,192 to 32,767 tokens"),
        )
    )
    + " WHEN input_tokens IS NOT NULL THEN 'from 32,768 tokens' END",
}
"""What failures are told apart by, and how it is read from a row of the log."""

_N_BINS: Final = 2048
_BASELINES: Final = 7  # the time before is as many windows long

_COLUMNS: Final = ", ".join(
    f'{expression} AS "{name}"' for name, expression in DIMENSIONS.items() if name != "endpoint"
)
_KIND: Final = (
    f"CASE WHEN {status_sql(FAILED + REFUSED)} THEN coalesce(nullif(error_kind, ''), "
    "CASE status WHEN 'timeout' THEN 'timeout' ELSE 'unknown' END) END"
)


@dataclass(frozen=True)
class RequestTotals:
    """What became of the requests of a window.

    Parameters
    ----------
    n_requests
        All.
    n_ended, n_failed, n_refused
        Answered or failed, failed, and refused by a rule; see `beast_ml.logs.endings`.
    n_recovered
        Answered after a failed call.
    n_unreported
        Whose outcome nobody told.
    """

    n_requests: int
    n_ended: int
    n_failed: int
    n_refused: int
    n_recovered: int
    n_unreported: int


@dataclass(frozen=True)
class ErrorCounts:
    """Calls and failures since some time, and before it to compare with.

    Parameters
    ----------
    started_at, bin_s, n_bins
        Bin i begins ``i * bin_s`` seconds after the start.
    since_bin
        The first bin of the window that is reported on.
    until
        When the last request was received.
    cube
        One row per combination that occurs: ``bin, model, kind, refused``, `DIMENSIONS`, ``n`` and ``example``, the
        id of a request. ``model`` is empty for requests that failed or were refused before a model was called, together
        with all others as what they are a share of; ``kind`` is empty where nothing failed or was refused, and a
        dimension where it is not known.
    totals
        Of the window.
    """

    started_at: datetime
    bin_s: float
    n_bins: int
    since_bin: int
    until: datetime
    cube: pd.DataFrame
    totals: RequestTotals

    def at(self, position: int) -> datetime:
        """Return when a bin begins."""
        return self.started_at + timedelta(seconds=position * self.bin_s)

    def by_bin(self, rows: pd.DataFrame) -> Counts:
        """Return (n_bins,) counts of these rows of the cube."""
        counted = np.bincount(rows["bin"].to_numpy(), weights=rows["n"].to_numpy(), minlength=self.n_bins)
        return np.asarray(counted.astype(np.int64))


def count_errors(store: LogStore, since: datetime | None = None, until: datetime | None = None) -> ErrorCounts:
    """Return what a store holds of the time since (default: its last 24 hours), and of seven times as long before.

    Raises
    ------
    DataError
        If there is no request in the window.
    InputError
        If it is empty, or a time has no zone.
    """
    for name, time in (("since", since), ("until", until)):
        if time is not None and time.tzinfo is None:
            raise InputError(f"`{name}` == {time.isoformat()} has no time zone, give an aware time")
    if not store.days():
        raise DataError(f"{store.path} holds no log: beast logs ingest FILE... fills it")
    before = "" if until is None else f"WHERE received_at < {time_sql(until)}"
    known = store.sql(f"SELECT min(received_at) AS first, max(received_at) AS last FROM log {before}")  # noqa: S608
    first, last = known["first"][0].as_py(), known["last"][0].as_py()
    if last is None:
        raise DataError(f"{store.path} holds no request before {_words(until)}")
    end = last + timedelta(microseconds=1)
    since = end - timedelta(days=1) if since is None else since.astimezone(UTC)
    if since >= end:
        raise DataError(f"{store.path} holds no request since {_words(since)}: the last one came {_words(last)}")
    since = max(since, first)
    start = max(first, since - _BASELINES * (end - since))
    bin_s = max(1.0, (end - start).total_seconds() / _N_BINS)
    since_bin = ceil((since - start).total_seconds() / bin_s)
    start = since - timedelta(seconds=since_bin * bin_s)  # so that a bin begins with the window
    n_bins = int((last - start).total_seconds() / bin_s) + 1
    cube = store.sql(_cube(start, end, bin_s)).to_pandas(categories=["model", "kind", *DIMENSIONS])
    totals = store.sql(_totals(since, end)).to_pylist()[0]
    return ErrorCounts(
        start, bin_s, n_bins, since_bin, last, cube, RequestTotals(**{k: int(v) for k, v in totals.items()})
    )


def _cube(start: datetime, end: datetime, bin_s: float) -> str:
    dimensions = ", ".join(f'"{name}"' for name in DIMENSIONS)
    kept = ", ".join(f'coalesce("{name}", \'\') AS "{name}"' for name in DIMENSIONS)
    shared = ", ".join(f'"{name}"' for name in DIMENSIONS if name != "endpoint")
    position = f"CAST(floor((epoch_us(received_at) - {_us(start)}) / {bin_s * 1e6!r}) AS BIGINT)"
    # The column has the last attempt's endpoint; those of all may stand in the context. Cancelled calls did not fail;
    # of unreported ones nothing is known.
    return f"""
    WITH requests AS (
        SELECT request_id, {position} AS bin, chosen_model, served_model, status, error_kind, attempts, endpoint,
            string_split(context['{ATTEMPT_ENDPOINTS}'], ',') AS endpoints, {_COLUMNS}
        FROM log WHERE received_at >= {time_sql(start)} AND received_at < {time_sql(end)}
    ), attempted AS (
        SELECT *, unnest(attempts) AS attempt, generate_subscripts(attempts, 1) AS position FROM requests
    ), calls AS (
        SELECT request_id, bin, attempt.model AS model, attempt.status AS status, attempt.error_kind AS error_kind,
            coalesce(endpoints[position], CASE WHEN position = len(attempts) THEN endpoint END) AS endpoint, {shared}
        FROM attempted
        UNION ALL
        SELECT request_id, bin, coalesce(chosen_model, served_model), status, error_kind, endpoint, {shared}
        FROM requests WHERE coalesce(len(attempts), 0) = 0 AND coalesce(chosen_model, served_model) IS NOT NULL
            AND error_kind IS DISTINCT FROM 'unreported'
        UNION ALL
        SELECT request_id, bin, '', CASE WHEN chosen_model IS NULL THEN status ELSE 'ok' END, error_kind, NULL, {shared}
        FROM requests
    ), told AS (
        SELECT request_id, bin, coalesce(model, '') AS model, coalesce({_KIND}, '') AS kind,
            {status_sql(REFUSED)} AS refused, {kept}
        FROM calls
    )
    SELECT bin, model, kind, refused, {dimensions}, count(*) AS n, max(request_id) AS example
    FROM told GROUP BY bin, model, kind, refused, {dimensions} ORDER BY ALL
    """  # noqa: S608 - times and constants only


def _totals(since: datetime, end: datetime) -> str:
    failed_call = f"len(list_filter(attempts, lambda call: call.{status_sql(FAILED)})) > 0"
    return f"""
    SELECT count(*) AS n_requests, count(*) FILTER (WHERE {status_sql(ENDED)}) AS n_ended,
        count(*) FILTER (WHERE {status_sql(FAILED)}) AS n_failed,
        count(*) FILTER (WHERE {status_sql(REFUSED)}) AS n_refused,
        count(*) FILTER (WHERE status = 'ok' AND {failed_call}) AS n_recovered,
        count(*) FILTER (WHERE error_kind = 'unreported') AS n_unreported
    FROM log WHERE received_at >= {time_sql(since)} AND received_at < {time_sql(end)}
    """  # noqa: S608 - times and constants only


def _us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _words(time: datetime | None) -> str:
    return "now" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
