"""Which source a log file is from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, get_args

from beast_ml.errors import DataError, InputError
from beast_ml.logs.schema import REQUEST_COLUMNS
from beast_ml.logs.sources.litellm import is_payload, is_spend_log, litellm_request
from beast_ml.logs.sources.openai_pairs import is_openai_pair, openai_request
from beast_ml.logs.sources.raw_rows import detect_format, raw_rows

__all__ = ["SOURCES", "SourceName", "detect_source", "row_mapper"]

SourceName = Literal["jsonl", "parquet", "litellm", "openai"]
"""Forms of log files that are read."""

SOURCES: Final[tuple[SourceName, ...]] = get_args(SourceName)
"""``jsonl`` and ``parquet`` are the routed-request log itself; ``jsonl`` may also be CSV."""

Mapper = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_SAMPLED_ROWS: Final = 20
_REQUIRED: Final = {name for name, (_, required) in REQUEST_COLUMNS.items() if required}


def detect_source(path: Path) -> SourceName:
    """Return the source whose columns a file's first rows have.

    Raises
    ------
    DataError
        If the file cannot be read, has no row, or its rows are like those of no source.
    """
    sample = list(islice(raw_rows(path, _SAMPLED_ROWS), _SAMPLED_ROWS))
    for line in sample:
        if line.reason is None:
            source = _source_of(path, line.row)
            if source is not None:
                return source
    if not sample:
        raise DataError(f"{path} has no rows: it must hold at least one request")
    names = next((list(line.row) for line in sample if line.reason is None), None)
    found = f"columns {', '.join(names[:20])}" if names else f"first row: {sample[0].reason}"
    raise DataError(
        f"cannot tell what kind of log {path} is ({found}): say --source {'|'.join(SOURCES)}, or name the columns as "
        f"the routed-request log does ({', '.join(name for name in REQUEST_COLUMNS if name in _REQUIRED)}, ...)"
    )


def row_mapper(source: str) -> Mapper:
    """Return the function that turns a raw row of a source into one of the routed-request log.

    Raises
    ------
    InputError
        If there is no such source.
    """
    mappers: dict[str, Mapper] = {
        "jsonl": lambda row: row,
        "parquet": lambda row: row,
        "litellm": litellm_request,
        "openai": openai_request,
    }
    if source not in mappers:
        raise InputError(f"source {source!r} is unknown, must be one of auto, {', '.join(mappers)}")
    return mappers[source]


def _source_of(path: Path, row: Mapping[str, Any]) -> SourceName | None:
    if {"request_id", "received_at", "candidates"} <= row.keys():
        return "parquet" if detect_format(path) == "parquet" else "jsonl"
    if is_spend_log(row) or is_payload(row):
        return "litellm"
    return "openai" if is_openai_pair(row) else None
