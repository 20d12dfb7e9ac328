"""Costs as a file for spreadsheets and other programs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from beast_ml.errors import InputError

__all__ = ["check_export", "export_table"]


def check_export(path: Path) -> None:
    """Refuse a name that says no format, before anything is read.

    Raises
    ------
    InputError
        If it ends in neither ``.csv`` nor ``.parquet``.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"`--export` == {path}, must end in .csv or .parquet")


def export_table(table: pa.Table, path: Path) -> None:
    """Write a table as CSV or Parquet, as its name says; nano-dollars stay integers.

    Raises
    ------
    InputError
        If the name says neither.
    """
    check_export(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, compression="zstd")
