"""Outcome tables, checked row by row: what is clean goes on, what is not is kept apart with a reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.quarantine import QuarantineFile, RejectedRow
from beast_ml.logs.schema import OUTCOME_COLUMNS
from beast_ml.logs.sources.outcome_files import OutcomeFile, read_outcome_file

__all__ = ["MAX_ID_CHARACTERS", "MAX_PROMPT_BYTES", "OutcomeIngest", "read_outcomes"]

MAX_PROMPT_BYTES: Final = 10_000_000
"""Longer prompts are quarantined: no candidate model reads them, and one would outweigh a whole table in memory."""

MAX_ID_CHARACTERS: Final = 512
"""Longer ids are quarantined: ids lie in fixed-width arrays, so that the longest sets the width of all."""

_NUMBERS: Final = tuple(name for name, (kind, _) in OUTCOME_COLUMNS.items() if kind == "float")
_AMOUNTS: Final = tuple(name for name in _NUMBERS if name != "quality")
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
    not valid UTF-8 or above `MAX_PROMPT_BYTES`; quality is missing or outside 0..1; a cost, latency or token count
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
    faults = _column_faults(table)
    start = 0
    for file in files:
        for position, reason in file.faults.items():
            faults[start + position] = reason
        start += file.columns.num_rows
    frame, positions = _without(table, faults)
    for position, reason in _schema_faults(frame, positions):
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


def _column_faults(table: pa.Table) -> dict[int, str]:
    """Return the faults that a pandas column could not tell from an unknown value: NaN."""
    faults: dict[int, str] = {}
    for name in _NUMBERS:
        for position in _positions(pc.is_nan(table[name])):
            faults.setdefault(position, f"{name} is NaN")
    return faults


def _positions(mask: pa.ChunkedArray) -> list[int]:
    found: list[int] = np.flatnonzero(mask.fill_null(False).to_numpy()).tolist()
    return found


def _without(table: pa.Table, faults: dict[int, str]) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(faults)] = False
    if faults:
        table = table.filter(pa.array(keep))
    return table.to_pandas(), np.flatnonzero(keep)


def _schema_faults(frame: pd.DataFrame, positions: NDArray[np.intp]) -> list[tuple[int, str]]:
    """Return (position in the files, reason) of each cell that breaks the outcome contract."""
    try:
        _SCHEMA.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        order = {name: i for i, name in enumerate(OUTCOME_COLUMNS)}
        cases = cases.assign(_order=cases["column"].map(order)).sort_values(["index", "_order"], kind="stable")
        rows = positions[cases["index"].to_numpy(dtype=np.intp)]
        return list(zip(rows.tolist(), cases["check"].astype(str).tolist(), strict=True))
    return []


def _check(reason: str, is_good: Callable[[pd.Series[Any]], Any]) -> pandera.Check:
    # Each check is handed the whole column; nulls are the business of the "is missing" checks alone.
    return pandera.Check(is_good, error=reason, ignore_na=False)


def _checks(name: str) -> list[pandera.Check]:
    checks = []
    if name in _REQUIRED:
        checks.append(_check(f"{name} is missing", lambda column: column.notna()))
    if name in _NUMBERS:
        checks.append(_check(f"{name} is infinite", lambda column: ~np.isinf(column)))
    if name in _AMOUNTS:
        checks.append(_check(f"{name} is negative", lambda column: ~(column < 0) | np.isinf(column)))
    if name == "quality":
        checks.append(
            _check("quality is outside 0..1", lambda column: column.between(0, 1) | column.isna() | np.isinf(column))
        )
    if name in _IDS:
        checks += [
            _text_check(f"{name} is empty", lambda text: pc.not_equal(pc.utf8_trim_whitespace(text), "")),
            _text_check(
                f"{name} is longer than {MAX_ID_CHARACTERS} characters",
                lambda text: pc.less_equal(pc.utf8_length(text), MAX_ID_CHARACTERS),
            ),
            _text_check(
                f"{name} holds control characters",
                lambda text: pc.invert(pc.match_substring_regex(text, r"[\x00-\x1f]")),
            ),
        ]
    if name == "prompt":
        reason = f"prompt is longer than {MAX_PROMPT_BYTES // 10**6} MB"
        checks.append(_text_check(reason, lambda text: pc.less_equal(pc.binary_length(text), MAX_PROMPT_BYTES)))
    return checks


def _text_check(reason: str, rule: Callable[[pa.Array], pa.Array]) -> pandera.Check:
    """Return a check of a rule on Arrow text; a null breaks none."""

    def held(column: pd.Series[Any]) -> pd.Series[bool]:
        mask = rule(pa.array(column, pa.large_string())).fill_null(True)
        return pd.Series(mask.to_numpy(zero_copy_only=False), index=column.index)

    return _check(reason, held)


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
