"""Outcome tables, checked row by row: what is clean goes on, what is not is kept apart with a reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.ingest_rules import (
    amount,
    broken_rules,
    identifier,
    nan_faults,
    prompt_size,
    required,
    share,
)
from beast_ml.logs.quarantine import QuarantineFile, RejectedRow
from beast_ml.logs.schema import OUTCOME_COLUMNS
from beast_ml.logs.sources.outcome_files import OutcomeFile, read_outcome_file

__all__ = ["OutcomeIngest", "read_outcomes"]

_NUMBERS: Final = tuple(name for name, (kind, _) in OUTCOME_COLUMNS.items() if kind == "float")
_REQUIRED: Final = tuple(name for name, (_, required) in OUTCOME_COLUMNS.items() if required)
_IDS: Final = ("query_id", "model")


@dataclass(frozen=True)
class OutcomeIngest:
    """What came out of outcome files.

    Parameters
    ----------
    frame
        Clean rows in `OUTCOME_COLUMNS`, in the order of the files; one row per query and model.
    quarantined
        One row per refused row: ``source``, ``row`` (its line or row number, from 1), ``reason``, ``raw`` (JSON).
    n_read
        Rows in the files. Accepted, duplicate and quarantined rows add up to it.
    n_duplicates
        Exact copies of an accepted row, dropped.
    """

    frame: pd.DataFrame
    quarantined: pd.DataFrame
    n_read: int
    n_duplicates: int

    @property
    def n_accepted(self) -> int:
        """Number of clean rows."""
        return len(self.frame)

    @property
    def n_quarantined(self) -> int:
        """Number of refused rows."""
        return len(self.quarantined)

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> number of refused rows, most frequent first."""
        return dict(Counter(self.quarantined["reason"].tolist()).most_common())

    def save_quarantine(self, path: Path) -> Path | None:
        """Write the refused rows as JSON lines and return the path; None when there are none."""
        with QuarantineFile(path) as file:
            for source, row, reason, raw in self.quarantined.itertuples(index=False):
                file.add([RejectedRow(source, row, reason, json.loads(raw))])
        return path if file.reasons else None


def read_outcomes(paths: Path | str | Sequence[Path | str]) -> OutcomeIngest:
    """Read outcome tables (Parquet, JSON lines or CSV), one row per query and model.

    A row is refused when an id or the model is empty, too long or holds control characters; the prompt is missing,
    not valid UTF-8 or above 10 MB; quality is missing or outside 0..1; a cost, latency or token count
    is NaN, infinite, negative or no number (null means unknown, and is fine). Exact copies are dropped and counted.
    Of rows that disagree about the same query and model the one that knows most is kept, then the one of lowest
    quality, then the smallest in column order, whatever their order in the files; the others are refused.

    Raises
    ------
    DataError
        If a file is missing, empty, truncated, of unknown format or lacks a required column; if no file is given or
        no row is left.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    if not listed:
        raise DataError("no outcome file was given: name at least one")
    files = [read_outcome_file(Path(path)) for path in listed]
    table = pa.concat_tables([file.columns for file in files])
    faults = nan_faults(table, _NUMBERS)
    start = 0
    for file in files:
        for position, reason in file.faults.items():
            faults[start + position] = reason
        start += file.columns.num_rows
    frame, positions = _without(table, faults)
    for position, reason in broken_rules(_SCHEMA, frame, positions):
        faults.setdefault(position, reason)
    keep = ~np.isin(positions, np.fromiter(faults, dtype=np.intp, count=len(faults)))
    frame, positions = frame[keep], positions[keep]
    frame, n_duplicates, conflicting = _one_row_each(frame, positions)
    faults |= conflicting
    rejected = _rejected(files, faults)
    if frame.empty:
        counts = Counter(row.reason for row in rejected).most_common(3)
        detail = ", ".join(f"{reason} ({count})" for reason, count in counts)
        raise DataError(f"no usable row in {', '.join(map(str, listed))}: {detail}")
    n_read = table.num_rows + sum(len(file.unreadable) for file in files)
    return OutcomeIngest(frame.reset_index(drop=True), _quarantine_frame(rejected), n_read, n_duplicates)


def _without(table: pa.Table, faults: dict[int, str]) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(faults)] = False
    if faults:
        table = table.filter(pa.array(keep))
    return table.to_pandas(), np.flatnonzero(keep)


def _checks(name: str) -> list[pandera.Check]:
    checks = required(name) if name in _REQUIRED else []
    if name in _IDS:
        checks += identifier(name)
    elif name == "prompt":
        checks += prompt_size()
    elif name == "quality":
        checks += share(name)
    elif name in _NUMBERS:
        checks += amount(name)
    return checks


_SCHEMA: Final = pandera.DataFrameSchema(
    {name: pandera.Column(None, _checks(name), nullable=True) for name in OUTCOME_COLUMNS}, strict=True
)


def _one_row_each(frame: pd.DataFrame, positions: NDArray[np.intp]) -> tuple[pd.DataFrame, int, dict[int, str]]:
    """Keep one row per query and model; return also the number of copies and the positions of conflicting rows."""
    shared = frame.duplicated(list(_IDS), keep=False).to_numpy()
    if not shared.any():
        return frame, 0, {}
    candidates = frame[shared].assign(_position=positions[shared])
    columns = list(OUTCOME_COLUMNS)
    copies = candidates.duplicated(columns).to_numpy()
    distinct = candidates[~copies]
    unknown = distinct[columns].isna().sum(axis=1)
    measures = [*_NUMBERS, *(name for name in columns if name not in _NUMBERS)]
    ranked = distinct.assign(_unknown=unknown).sort_values([*_IDS, "_unknown", *measures])
    losers = ranked.loc[ranked.duplicated(list(_IDS)).to_numpy(), "_position"].to_numpy()
    dropped = np.concatenate([candidates.loc[copies, "_position"].to_numpy(), losers])
    reason = "disagrees with another row of the same query and model"
    return frame[~np.isin(positions, dropped)], int(copies.sum()), dict.fromkeys(losers.tolist(), reason)


def _rejected(files: Sequence[OutcomeFile], faults: dict[int, str]) -> list[RejectedRow]:
    rejected: list[RejectedRow] = []
    start = 0
    for file in files:
        end = start + file.columns.num_rows
        local = [position - start for position in sorted(faults) if start <= position < end]
        found = [
            RejectedRow(str(file.path), int(file.numbers[i]), faults[start + i], raw)
            for i, raw in zip(local, file.raw(local) if local else [], strict=True)
        ]
        rejected += sorted([*file.unreadable, *found], key=lambda row: row.row)
        start = end
    return rejected


def _quarantine_frame(rejected: Sequence[RejectedRow]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": pd.array([row.source for row in rejected], dtype="str"),
            "row": np.array([row.row for row in rejected], dtype=np.int64),
            "reason": pd.array([row.reason for row in rejected], dtype="str"),
            "raw": pd.array([row.raw_json() for row in rejected], dtype="str"),
        }
    )
