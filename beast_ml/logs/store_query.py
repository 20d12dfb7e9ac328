"""The SQL that joins requests with what became known of them later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.endings import REFUSED, status_sql
from beast_ml.logs.late_tables import OUTCOME_SCHEMA
from beast_ml.logs.store_files import duckdb_files, late_files

__all__ = ["joined_log"]

_TOLD_OF: Final = f"CASE WHEN r.{status_sql(REFUSED)} THEN NULL ELSE r.request_id END"
"""The key that late rows are joined by: an equality and nothing beside it, which every DuckDB joins by hashes."""


def joined_log(store: Path, files: Sequence[Path], *, only_of_these: bool = False) -> str:
    """Return a query for DuckDB that gives the requests in these files, one row each, in the log's columns.

    Feedback replaces a label that is older than it. Of late outcomes each column's latest known value holds; an
    answer that came in the end takes the error away, and any outcome the error that nobody had told one. An answer of
    which nobody says who gave it is the chosen model's, and a label of a decision whose end nobody told says that it
    was answered. Of a request that was refused there is nothing to tell: nobody was called, and what somebody tells all
    the same does not count. Where there are no files the view ``nothing`` is read. ``only_of_these`` says that the
    files are few of many: what came later of other requests is then left out before it is sorted.
    """
    source = f"read_parquet({duckdb_files(files)}, union_by_name=true, hive_partitioning=false)" if files else "nothing"
    feedback, outcomes = late_files(store, "feedback"), late_files(store, "outcomes")
    within = f"WHERE request_id IN (SELECT request_id FROM {source})" if only_of_these else ""  # noqa: S608 - as below
    columns = {name: f'r."{name}"' for name in REQUEST_SCHEMA.names}
    joins, judged, told, known = "", "false", "false", "NULL"
    if feedback:
        newer = "f.request_id IS NOT NULL AND (r.feedback_at IS NULL OR f.feedback_at >= r.feedback_at)"
        for name in ("quality", "quality_source", "feedback_at"):
            columns[name] = f"CASE WHEN {newer} THEN f.{name} ELSE r.{name} END"
        joins += f" LEFT JOIN ({_latest_feedback(feedback, within)}) f ON f.request_id = {_TOLD_OF}"
        judged = "f.request_id IS NOT NULL"
    if outcomes:
        for name in _late_columns():
            columns[name] = f"coalesce(o.{name}, r.{name})"
        joins += f" LEFT JOIN ({_latest_outcomes(outcomes, within)}) o ON o.request_id = {_TOLD_OF}"
        told, known = "o.status IS NOT NULL", "o.error_kind"
    untold = "r.error_kind IS NOT DISTINCT FROM 'unreported'"
    status = f"CASE WHEN NOT ({told}) AND {untold} AND {judged} THEN 'ok' ELSE {columns['status']} END"
    before = f"CASE WHEN {told} AND {untold} THEN NULL ELSE r.error_kind END"
    columns["status"] = status
    columns["error_kind"] = f"CASE WHEN ({status}) = 'ok' THEN NULL ELSE coalesce({known}, {before}) END"
    by = columns["served_model"]
    columns["served_model"] = f"coalesce({by}, CASE WHEN ({status}) = 'ok' THEN r.chosen_model END)"
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f"SELECT {selected} FROM {source} r{joins}"  # noqa: S608 - column names and escaped paths only


def _late_columns() -> list[str]:
    return [name for name in OUTCOME_SCHEMA.names if name not in ("request_id", "observed_at")]


def _latest_feedback(files: Sequence[Path], within: str) -> str:
    return (
        f"SELECT request_id, feedback_at, quality, quality_source FROM {_rows(files)} {within} "  # noqa: S608 - escaped paths
        "QUALIFY row_number() OVER (PARTITION BY request_id "
        "ORDER BY feedback_at DESC, filename DESC, file_row_number DESC) = 1"
    )


def _latest_outcomes(files: Sequence[Path], within: str) -> str:
    # Ties in time go to the row that was appended last.
    latest = ", ".join(
        f"last({name} ORDER BY observed_at, filename, file_row_number) FILTER (WHERE {name} IS NOT NULL) AS {name}"
        for name in _late_columns()
    )
    return f"SELECT request_id, {latest} FROM {_rows(files)} {within} GROUP BY request_id"  # noqa: S608 - escaped paths


def _rows(files: Sequence[Path]) -> str:
    return f"read_parquet({duckdb_files(files)}, filename=true, file_row_number=true, hive_partitioning=false)"
