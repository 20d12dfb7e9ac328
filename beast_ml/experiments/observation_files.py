"""Observations from a Parquet file, and an analysis as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from beast_ml.errors import DataError
from beast_ml.experiments.analysis import ExperimentAnalysis
from beast_ml.experiments.observations import OBSERVATION_COLUMNS, Observations
from beast_ml.experiments.verdict import ExperimentVerdict

__all__ = ["read_observations", "report_of", "write_report"]


def read_observations(path: Path, now: datetime, covariates: Sequence[str] = ()) -> Observations:
    """Return the observations in a Parquet file.

    Parameters
    ----------
    path
        Columns of `OBSERVATION_COLUMNS`, and ``request_id`` where rows may have come twice.
    now
        Aware.
    covariates
        Further columns to adjust by.

    Raises
    ------
    DataError
        If it is no such file; see `Observations.from_table`.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}: give a Parquet file with {', '.join(OBSERVATION_COLUMNS)}")
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        wanted = [name for name in (*OBSERVATION_COLUMNS, "request_id", *covariates) if name in names]
        table = file.read(columns=list(dict.fromkeys(wanted)))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    return Observations.from_table(table, now, covariates)


def report_of(analysis: ExperimentAnalysis, verdict: ExperimentVerdict) -> dict[str, object]:
    """Return what report.json holds."""
    return analysis.to_dict() | {"verdict": verdict.to_dict()}


def write_report(folder: Path, report: dict[str, object]) -> Path:
    """Write report.json, whole or not at all, and return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    target, passing = folder / "report.json", folder / ".report.json.part"
    passing.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    passing.replace(target)
    return target
