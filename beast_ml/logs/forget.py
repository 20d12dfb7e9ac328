"""What a tenant, or one of its users, has asked: taken out of the log, wherever it lies.

Safe beside a running server and its compaction, and whenever it is killed: no row of anybody else is lost, and the
next call goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.errors import UnavailableError
from beast_ml.logs.forget_lines import (
    edit_lines,
    forget_late,
    forget_quarantined,
    forget_request,
    meant_request,
    sweep_hidden,
    whole_lines,
)
from beast_ml.logs.forget_parts import delete_superseded, drop_rows, forget_prompts, meant_ids, meant_rows
from beast_ml.logs.forgotten import Whose
from beast_ml.logs.late_tables import LATE_SCHEMAS
from beast_ml.logs.segments import OPEN_SUFFIX, seal_abandoned, sealed_segments
from beast_ml.logs.store_files import stored_days, sweep_staging
from beast_ml.logs.store_parts import LOCK, lock

__all__ = ["ForgetSummary", "LogFolders", "forget"]

_POLL_S: Final = 0.25


@dataclass(frozen=True)
class LogFolders:
    """Where a log lies.

    Parameters
    ----------
    store, segments, quarantine
        Its folders; any of them may be absent.
    """

    store: Path
    segments: Path
    quarantine: Path


@dataclass(frozen=True)
class ForgetSummary:
    """What was taken out, or would be.

    Parameters
    ----------
    n_stored
        Requests in the store: rows, or with ``prompts_only`` texts.
    n_in_segments
        The same in segments.
    n_late
        Outcomes, feedback and weak signals that went with their requests.
    n_quarantined
        Quarantined rows.
    """

    n_stored: int
    n_in_segments: int
    n_late: int
    n_quarantined: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def forget(
    folders: LogFolders,
    whose: Whose,
    *,
    dry_run: bool = False,
    patience_s: float = 120.0,
    on_wait: Callable[[int], None] = lambda _: None,
) -> ForgetSummary:
    """Take a tenant's requests, or their texts alone, out of a log, and return how many these were.

    A segment that a worker writes is left to it until it is sealed, within a minute; so long this waits.

    Parameters
    ----------
    folders
        Of the log.
    whose
        Whose requests, until when, and what of them.
    dry_run
        Count alone; what is being written counts, too.
    patience_s
        How long to wait for segments that are being written.
    on_wait
        Called with their number when this has to wait.

    Raises
    ------
    UnavailableError
        If a segment that holds some of it was not sealed in time: what is sealed was not touched either.
    DataError
        If a file of the store is damaged.
    """
    if not dry_run:
        _wait_for_seals(folders.segments, whose, patience_s, on_wait)
    with ExitStack() as held:
        for folder in (folders.segments, folders.store):
            if folder.is_dir():
                held.enter_context(lock(folder / LOCK, wait=True))
        if not dry_run and folders.store.is_dir():
            sweep_staging(folders.store)
            delete_superseded(folders.store)
        for folder in (folders.segments, folders.quarantine):
            if not dry_run and folder.is_dir():
                sweep_hidden(folder)
        return _forget(folders, whose, dry_run=dry_run)


def _forget(folders: LogFolders, whose: Whose, *, dry_run: bool) -> ForgetSummary:
    test = meant_rows(whose)
    segments = [*sealed_segments(folders.segments)] if folders.segments.is_dir() else []
    if dry_run and folders.segments.is_dir():
        segments += sorted(folders.segments.glob(f"*{OPEN_SUFFIX}"))
    n_late = 0
    gone: set[str] = set()
    if not whose.prompts_only:  # what belongs to the requests goes first: after a kill they still say what that is
        gone = meant_ids(folders.store, test)
        for segment in segments:
            gone.update(filter(None, (meant_request(line, whose) for line in whole_lines(segment.read_bytes()))))
        n_late = drop_rows(folders.store, list(LATE_SCHEMAS), _of_requests(gone), dry_run=dry_run)
        n_late += sum(edit_lines(file, partial(forget_late, gone=gone), dry_run=dry_run)[0] for file in segments)
    n_in_segments = sum(
        sum(edit_lines(file, partial(forget_request, whose=whose), dry_run=dry_run))
        for file in segments
        if file.exists()
    )
    n_quarantined = 0
    for file in sorted(folders.quarantine.glob("*.jsonl")):
        n_quarantined += edit_lines(file, partial(forget_quarantined, whose=whose), dry_run=dry_run)[0]
    if whose.prompts_only:
        n_stored = forget_prompts(folders.store, test, dry_run=dry_run)
    else:
        days = [f"day={day}" for day in stored_days(folders.store)]
        n_stored = drop_rows(folders.store, days, test, dry_run=dry_run)
    return ForgetSummary(n_stored, n_in_segments, n_late, n_quarantined)


def _of_requests(ids: set[str]) -> Callable[[pa.Table], NDArray[np.bool_]]:
    known = pa.array(sorted(ids), pa.string())

    def test(table: pa.Table) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = pc.is_in(table["request_id"], known).to_numpy()
        return found

    return test


def _wait_for_seals(segments: Path, whose: Whose, patience_s: float, on_wait: Callable[[int], None]) -> None:
    if not segments.is_dir():
        return
    seal_abandoned(segments)
    deadline = time.monotonic() + patience_s
    waiting = [file for file in sorted(segments.glob(f"*{OPEN_SUFFIX}")) if _holds_some(file, whose)]
    if waiting:
        on_wait(len(waiting))
    while waiting := [file for file in waiting if file.exists()]:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{waiting[0]} is still being written and holds some of it: nothing was deleted; workers seal their "
                "segments within a minute, so forget again"
            )
        time.sleep(_POLL_S)
        seal_abandoned(segments)


def _holds_some(file: Path, whose: Whose) -> bool:
    try:
        lines = whole_lines(file.read_bytes())
    except FileNotFoundError:  # sealed just now
        return False
    return any(forget_request(line, whose) != line for line in lines)
