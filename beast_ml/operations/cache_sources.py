"""What a cache learns from beside labelled pairs: the prompts and requests of a log, and how long answers live."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from beast_ml.cache.demand import AUDIT, WARMING, AskedRequest
from beast_ml.cache.lifetimes import Lifetimes, fit_lifetimes, read_lifetimes
from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.logs.store import LogStore

__all__ = ["read_asked_prompts", "read_asked_requests", "read_lives"]


def read_asked_prompts(path: Path) -> list[str]:
    """Return the prompts that were asked, each once, the most frequent first.

    Parameters
    ----------
    path
        A log store (a folder), or a Parquet file with a column ``prompt``, such as answers to warm a cache with.
        Requests whose text was withheld are left out.

    Raises
    ------
    DataError
        If it cannot be read, or has no prompts.
    """
    import pyarrow as pa

    table = LogStore(path).requests(["prompt"]) if path.is_dir() else _prompts(path)
    column = table["prompt"]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{path}: `prompt` is of type {column.type}, must be text")
    counted = column.drop_null().value_counts()
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    prompts = [text for text, _ in sorted(pairs, key=lambda pair: (-pair[1], pair[0])) if text.strip()]
    if not prompts:
        raise DataError(f"{path} has no prompts: their text was withheld, or there are no requests")
    return prompts


def read_asked_requests(store: Path, since_days: int, tenant: str | None = None) -> list[AskedRequest]:
    """Return the requests of a log's last days that a cache might have answered, in order of time.

    Those that the cache made on its own, to warm itself or to have answers judged, are left out.

    Parameters
    ----------
    store
        A log store.
    since_days
        How many days, the last one that has requests included.
    tenant
        Only this tenant's; None: all.

    Raises
    ------
    NotEnoughDataError
        If there are none with their text.
    """
    kept = LogStore(store)
    days = kept.days()
    if not days:
        raise NotEnoughDataError(f"{kept.path} holds no log: beast logs ingest FILE... fills it; --store names another")
    since = datetime(days[-1].year, days[-1].month, days[-1].day, tzinfo=UTC) - timedelta(days=since_days - 1)
    columns = ["received_at", "tenant_id", "prompt", "request_kind", "cost_usd", "latency_s", "status", "cache_result"]
    columns += ["session_id", "app"]
    found = [
        AskedRequest(
            row["received_at"].timestamp(),
            row["tenant_id"],
            row["prompt"],
            row["request_kind"],
            row["cost_usd"] if row["cache_result"] == "miss" else None,
            row["latency_s"] if row["cache_result"] == "miss" else None,
        )
        for row in kept.requests(columns, since=since).to_pylist()
        if row["prompt"]
        and row["status"] == "ok"
        and row["cache_result"] != "bypass"
        and not (row["session_id"] or "").startswith(WARMING)
        and row["app"] != AUDIT
        and tenant in (None, row["tenant_id"])
    ]
    if not found:
        whose = "" if tenant is None else f" of the tenant {tenant!r}"
        raise NotEnoughDataError(f"the last {since_days} days of {kept.path} hold no request{whose} with its text")
    return found


def read_lives(path: Path | None) -> Lifetimes:
    """Return learned lives from a JSON file; None: guesses by kind of request.

    Raises
    ------
    InputError
        If there are none in the file.
    """
    return fit_lifetimes([]) if path is None else read_lifetimes(path)


def _prompts(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if "prompt" not in pq.read_schema(path).names:
            raise DataError(f"{path} has no column 'prompt'")
        return pq.read_table(path, columns=["prompt"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path} as Parquet: {error}") from error
