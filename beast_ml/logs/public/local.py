"""What is here of the public sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from beast_ml.errors import DataError
from beast_ml.logs.public.catalogue import PublicSet
from beast_ml.logs.public.pull import OUTCOMES_FILE

__all__ = ["LocalSet", "ModelSummary", "SetSummary", "local_state", "summarise"]

State = Literal["here", "unfinished", "absent"]


@dataclass(frozen=True)
class LocalSet:
    """Whether a set is here.

    Parameters
    ----------
    state
        ``here``, ``unfinished`` (a pull broke off; pulling again takes it up) or ``absent``.
    outcomes
        Where its table is, or would be.
    n_rows, n_bytes
        Its size where it is here, else None.
    """

    state: State
    outcomes: Path
    n_rows: int | None = None
    n_bytes: int | None = None


@dataclass(frozen=True)
class ModelSummary:
    """One model in a set: rows, mean quality, mean cost in USD, mean latency in seconds (None where not known).

    Parameters
    ----------
    n_queries, cost_usd, latency_s
        Rows, and the means.
    """

    model: str
    n_queries: int
    quality: float
    cost_usd: float | None
    latency_s: float | None


@dataclass(frozen=True)
class SetSummary:
    """Statistics of a set that is here.

    Parameters
    ----------
    n_queries, n_models
        Its size.
    tasks
        Queries of each task.
    models
        One entry per model, best first.
    known
        Share of rows in which a column is known, for every column that is there.
    best_per_query
        Mean over queries of the best quality any model reached: what an oracle would have.
    """

    n_queries: int
    n_models: int
    tasks: dict[str, int]
    models: tuple[ModelSummary, ...]
    known: dict[str, float]
    best_per_query: float


def local_state(public_set: PublicSet, directory: Path) -> LocalSet:
    """Return whether a set is here; a file that is no Parquet table counts as unfinished."""
    folder = directory / public_set.name
    outcomes = folder / OUTCOMES_FILE
    if outcomes.is_file():
        try:
            n_rows = pq.read_metadata(outcomes).num_rows
        except (pa.ArrowInvalid, OSError):
            return LocalSet("unfinished", outcomes)
        return LocalSet("here", outcomes, n_rows, outcomes.stat().st_size)
    return LocalSet("unfinished" if (folder / ".downloads").is_dir() else "absent", outcomes)


def summarise(outcomes: Path) -> SetSummary:
    """Return statistics of an outcome table.

    Raises
    ------
    DataError
        If the table cannot be read or lacks a required column.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(outcomes)
        by_model = frame.groupby("model")
        quality = by_model["quality"].mean().sort_values(ascending=False, kind="stable")
        counts = by_model["query_id"].nunique()
        best = float(frame.groupby("query_id")["quality"].max().mean())
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"cannot read {outcomes} as an outcome table: {error}; pull it again") from error
    means = {name: by_model[name].mean() for name in ("cost_usd", "latency_s") if name in frame}

    def mean(name: str, model: str) -> float | None:
        value = means[name][model] if name in means else None
        return None if value is None or pd.isna(value) else float(value)

    per_task = frame.assign(task=frame.get("task")).groupby("task")["query_id"].nunique()
    return SetSummary(
        n_queries=int(frame["query_id"].nunique()),
        n_models=len(quality),
        tasks={str(task): int(n) for task, n in per_task.sort_values(ascending=False).items()},
        models=tuple(
            ModelSummary(model, int(counts[model]), value, mean("cost_usd", model), mean("latency_s", model))
            for model, value in zip(quality.index.astype(str).tolist(), quality.tolist(), strict=True)
        ),
        known={str(name): float(share) for name, share in frame.notna().mean().items()},
        best_per_query=best,
    )
