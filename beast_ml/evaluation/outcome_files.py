"""Outcome files as evaluation reads them: refused rows are told, and no test query is lost with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["OutcomeSet", "read_outcome_set"]


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
    """

    matrix: OutcomeMatrix
    path: Path
    rows: int
    duplicates: int
    refused: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return the counts for a report."""
        return {
            "file": str(self.path),
            "rows": self.rows,
            "duplicates": self.duplicates,
            "refused": self.refused,
        }

    def warning(self) -> str | None:
        """Return what to tell the user of refused rows, or None."""
        if not self.refused:
            return None
        reasons = "; ".join(f"{reason}: {n}" for reason, n in self.refused.items())
        return f"{sum(self.refused.values())} of {self.rows} rows of {self.path} were refused ({reasons})"


def read_outcome_set(path: Path, *, keep_every_query: bool = False) -> OutcomeSet:
    """Return the outcomes of a Parquet, JSON-lines or CSV file.

    Parameters
    ----------
    keep_every_query
        Keep queries of which all rows were refused, as test data need it: every query has to be decided.

    Raises
    ------
    DataError
        If the file cannot be read or holds no clean row.
    """
    ingest = read_outcomes(path)
    matrix = OutcomeMatrix.from_frame(ingest.frame)
    if keep_every_query:
        matrix = _with_refused_queries(matrix, ingest.quarantined)
    return OutcomeSet(matrix, path, ingest.n_read, ingest.n_duplicates, ingest.reasons)


def _with_refused_queries(matrix: OutcomeMatrix, quarantined: pd.DataFrame) -> OutcomeMatrix:
    known = set(matrix.query_ids.tolist())
    texts: dict[str, tuple[str, str]] = {}
    for query, prompt, task in _refused_queries(quarantined["raw"]):
        if query not in known:
            # The smallest in string order, as OutcomeMatrix takes it: row order must not matter.
            texts[query] = min(texts.get(query, (prompt, task)), (prompt, task))
    if not texts:
        return matrix
    query_ids = np.array([*matrix.query_ids.tolist(), *texts])
    prompts = [*matrix.prompts, *(prompt for prompt, _ in texts.values())]
    tasks = np.array([*matrix.tasks.tolist(), *(task for _, task in texts.values())])
    order = np.argsort(query_ids, kind="stable")
    unobserved = np.full((len(texts), len(matrix.models)), np.nan)

    def extended(values: Any) -> Any:
        return np.vstack([values, unobserved])[order]

    return replace(
        matrix,
        query_ids=query_ids[order],
        prompts=tuple(prompts[i] for i in order),
        tasks=tasks[order],
        quality=extended(matrix.quality),
        cost_usd=extended(matrix.cost_usd),
        input_tokens=extended(matrix.input_tokens),
        output_tokens=extended(matrix.output_tokens),
        latency_s=extended(matrix.latency_s),
    )


def _refused_queries(rows: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    """Yield (query id, prompt, task) of the refused rows that name their query; a missing text is empty."""
    for raw in rows:
        row = json.loads(raw)
        if isinstance(row, dict) and isinstance(row.get("query_id"), str) and row["query_id"]:
            prompt, task = row.get("prompt"), row.get("task")
            yield row["query_id"], prompt if isinstance(prompt, str) else "", task if isinstance(task, str) else ""
