"""Outcome files as evaluation reads them: refused rows are told, and no test query is lost with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import MEASURES, OutcomeMatrix
from beast_ml.logs.sources.cells import cells_from_column, cells_from_values
from beast_ml.logs.sources.raw_rows import check_names, damaged, detect_format, raw_rows

__all__ = ["OutcomeSet", "read_outcome_set"]

Floats = NDArray[np.float64]

_REQUIRED: Final = ("query_id", "prompt")
_FACTS: Final = ("task", "app")
_TEXTS: Final = (*_REQUIRED, *_FACTS)


@dataclass(frozen=True)
class OutcomeSet:
    """The content of an outcome file, and what ingest said of it.

    Parameters
    ----------
    matrix
        The outcomes. Of a test set, queries without a single clean row are in it too, with nothing observed: they are
        to be decided like all others.
    path
        The file.
    rows, duplicates
        Rows read, and exact copies among them.
    refused
        Reason -> number of rows that were kept out.
    unusable
        Why nothing but the queries could be read, or None.
    """

    matrix: OutcomeMatrix
    path: Path
    rows: int
    duplicates: int
    refused: dict[str, int]
    unusable: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the counts for a report."""
        return {
            "file": str(self.path),
            "rows": self.rows,
            "duplicates": self.duplicates,
            "refused": self.refused,
            **({} if self.unusable is None else {"unusable": self.unusable}),
        }

    def warning(self) -> str | None:
        """Return what to tell the user of refused rows, or None."""
        if self.unusable is not None:
            return f"only query ids and prompts are read of {self.path}: {self.unusable}"
        if not self.refused:
            return None
        reasons = "; ".join(f"{reason}: {n}" for reason, n in self.refused.items())
        return f"{sum(self.refused.values())} of {self.rows} rows of {self.path} were refused ({reasons})"


def read_outcome_set(path: Path, *, keep_every_query: bool = False) -> OutcomeSet:
    """Return the outcomes of a Parquet, JSON-lines or CSV file.

    Parameters
    ----------
    keep_every_query
        As test data need it: every row's query is kept with its prompt, task and app, whatever the other columns hold,
        even if there are none.

    Raises
    ------
    DataError
        If the file cannot be read or holds no clean row; with ``keep_every_query``, if it names no query.
    """
    if not keep_every_query:
        ingest = read_outcomes(path)
        matrix = OutcomeMatrix.from_frame(ingest.frame)
        return OutcomeSet(matrix, path, ingest.n_read, ingest.n_duplicates, ingest.reasons)
    queries, n_rows = _read_queries(path)
    try:
        outcomes = read_outcome_set(path)
    except DataError as error:
        if queries.n_queries == 0:
            raise
        return OutcomeSet(queries, path, n_rows, 0, {}, str(error))
    return replace(outcomes, matrix=_observed(queries, outcomes.matrix))


def _observed(queries: OutcomeMatrix, outcomes: OutcomeMatrix) -> OutcomeMatrix:
    """Return all queries with what was observed of some of them."""
    at = np.searchsorted(queries.query_ids, outcomes.query_ids)

    def spread(values: Floats) -> Floats:
        cells = np.full((queries.n_queries, len(outcomes.models)), np.nan)
        cells[at] = values
        return cells

    return outcomes.with_measures(
        spread, query_ids=queries.query_ids, prompts=queries.prompts, tasks=queries.tasks, apps=queries.apps
    )


def _read_queries(path: Path) -> tuple[OutcomeMatrix, int]:
    """Return the queries of a file without any outcome, and its number of rows; other columns are not looked at.

    A missing text is empty. Of several texts the smallest in string order is taken, as `OutcomeMatrix` does: row order
    must not matter.
    """
    table = _parquet_texts(path) if detect_format(path) == "parquet" else _line_texts(path)
    texts: dict[str, list[str | None]] = {}
    for query, *others in table.to_pandas().drop_duplicates().itertuples(index=False, name=None):
        if isinstance(query, str) and query:
            before = texts.get(query, [None] * len(others))
            texts[query] = [_smaller(*pair) for pair in zip(before, others, strict=True)]
    ids = sorted(texts)
    nothing: dict[str, Any] = dict.fromkeys(MEASURES, np.full((len(ids), 0), np.nan))
    prompts, tasks, apps = ([texts[query][i] or "" for query in ids] for i in range(3))
    queries = OutcomeMatrix(
        np.array(ids, dtype=str), tuple(prompts), np.array(tasks, dtype=str), np.array(apps, dtype=str), (), **nothing
    )
    return queries, table.num_rows


def _smaller(a: str | None, b: object) -> str | None:
    if not isinstance(b, str):
        return a
    return b if a is None else min(a, b)


def _parquet_texts(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_names(path, names)
            _require(path, names)
            table = file.read(columns=[name for name in _TEXTS if name in names])
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    columns = {name: cells_from_column(path, name, "string", table[name])[0] for name in _REQUIRED}
    for name in _FACTS:
        try:
            columns[name] = cells_from_column(path, name, "string", table[name])[0]
        except (KeyError, DataError):
            columns[name] = pa.nulls(table.num_rows, pa.large_string())
    return pa.table(columns)


def _line_texts(path: Path) -> pa.Table:
    rows = [line.row for line in raw_rows(path) if line.reason is None]
    if rows:
        _require(path, {name for row in rows for name in row})
    return pa.table({name: cells_from_values(name, "string", [row.get(name) for row in rows])[0] for name in _TEXTS})


def _require(path: Path, names: Collection[str]) -> None:
    for name in _REQUIRED:
        if name not in names:
            raise DataError(f"{path} lacks the column {name}: queries to decide need {' and '.join(_REQUIRED)}")
