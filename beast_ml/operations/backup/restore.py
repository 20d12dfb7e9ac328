"""A deployment out of a backup: verified, as it was at a time, with no more money left than was left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.errors import InputError
from beast_ml.logs.compaction import compact
from beast_ml.logs.forget import LogFolders
from beast_ml.logs.forget_parts import drop_rows
from beast_ml.logs.forgotten import FORGOTTEN_FILE, ForgottenOne, read_forgotten, remember_forgotten
from beast_ml.logs.late_tables import LATE_SCHEMAS, LATE_TIMES
from beast_ml.logs.segments import sync_folder
from beast_ml.logs.store import LogStore
from beast_ml.operations.backup.folder import backups_in, find_backup, next_after
from beast_ml.operations.backup.forgotten_again import forget_again, forget_entries_again
from beast_ml.operations.backup.manifest import Manifest, read_manifest, verify
from beast_ml.operations.backup.new_place import move_artifacts, move_pointers, move_settings
from beast_ml.operations.backup.places import BUNDLES
from beast_ml.operations.backup.spent import Spent, raise_spent, spent_by_day

__all__ = ["RestoreSummary", "restore"]

_LOG: Final = ("logs", "segments", "quarantine")


@dataclass(frozen=True)
class RestoreSummary:
    """What was restored.

    Parameters
    ----------
    backup, made_at
        Which backup, and when it was begun.
    into
        The working directory that it is now.
    log_of
        Name of the backup whose log it is: with a time, the first one after it.
    n_files, n_bytes
        That were verified.
    n_requests
        In the log.
    n_cut
        Rows of the log that were received after the time, and left out.
    n_forgotten
        Rows and entries that were deleted after the backup was made, and were deleted again.
    n_raised
        Accounts of budgets on which more counts as spent than the backup said.
    notes
        What is to be known or done, in plain words.
    """

    backup: Path
    made_at: datetime
    into: Path
    log_of: str
    n_files: int
    n_bytes: int
    n_requests: int
    n_cut: int
    n_forgotten: int
    n_raised: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        plain = {"backup": str(self.backup), "made_at": self.made_at.isoformat(), "into": str(self.into)}
        return asdict(self) | plain | {"notes": list(self.notes)}


def restore(
    where: Path,
    into: Path,
    *,
    at: datetime | None = None,
    replace: bool = False,
    database_url: str | None = None,
    clock: Clock | None = None,
) -> RestoreSummary:
    """Make a deployment out of a backup.

    It is there whole or not at all. What is in PostgreSQL is replaced in one transaction, just before that.

    Parameters
    ----------
    where
        A backup, or a folder of them: then the newest one.
    into
        The working directory to be; it is not there yet, or empty.
    at
        As of this time: the newest backup before, and the log up to then, as far as a later backup has it.
    replace
        Put what is there aside, under a name that says so, and empty our tables in PostgreSQL.
    database_url
        The PostgreSQL that is to hold what hosts share, where the backup has it.
    clock
        What time it is.

    Raises
    ------
    InputError
        If there is no such backup, something is there already, or no database is named.
    DataError
        If the backup is not what was written: everything that is wrong is named.
    """
    backup = find_backup(where, at)
    manifest = read_manifest(backup)
    later = None if at is None else next_after(backup, at)
    _check_target(into, manifest, database_url, replace=replace)
    into.parent.mkdir(parents=True, exist_ok=True)
    _sweep(into)
    staging = into.parent / f".{into.name}.restoring-{os.getpid()}"
    staging.mkdir(mode=0o700)
    try:
        staged = _Staged(staging, into.absolute(), backup, manifest, later)
        staged.copy()
        staged.arrange()
        compact(staged.folders.segments, staged.store, staged.folders.quarantine)
        spent = spent_by_day(staged.store)  # before anything is taken out: it was spent all the same
        forgotten = _forgotten(backup, staged.state)
        n_forgotten = forget_again(staged.folders, staged.state, forgotten)
        n_cut = 0 if at is None else _cut(staged.store.path, at)
        now_s = (clock or SystemClock()).now().timestamp()
        n_raised = _load_shared(staged, database_url, forgotten, spent, now_s)
        if (staged.state / "state.db").is_file():
            n_raised += raise_spent(f"sqlite:///{staged.state / 'state.db'}", spent, now_s)
        n_requests = staged.store.count()
        _put_in_place(staged.whole, into, name=f"{into.name}.replaced-{int(now_s)}")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return RestoreSummary(
        backup,
        manifest.made_at,
        into,
        (later or backup).name,
        len(staged.names),
        staged.n_bytes,
        n_requests,
        n_cut,
        n_forgotten,
        n_raised,
        tuple(_notes(manifest, at, later)),
    )


def _check_target(into: Path, manifest: Manifest, database_url: str | None, *, replace: bool) -> None:
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise InputError(f"{into} is no folder: name one that is not there yet")
    if into.is_dir() and any(into.iterdir()) and not replace:
        raise InputError(f"{into} is not empty: name a new folder, or let --replace put what is there aside")
    if into.resolve() == Path.cwd().resolve():
        raise InputError(
            f"{into} is the working directory, which cannot be replaced: go elsewhere, or name another one"
        )
    if manifest.tables:
        if database_url is None:
            raise InputError(
                f"the backup holds tables of {manifest.database_url_shown}: name an empty PostgreSQL database for them "
                "in BEAST_DATABASE_URL"
            )
        from beast_ml.operations.backup.shared_tables import check_empty

        if not replace:
            check_empty(database_url)


class _Staged:
    """A deployment that is being put together beside where it is to be."""

    def __init__(self, staging: Path, into: Path, backup: Path, manifest: Manifest, later: Path | None) -> None:
        self.raw, self.whole, self.into = staging / "backup", staging / "whole", into
        self._sources = [(backup, manifest, [name for name in manifest.files if later is None or not _is_log(name)])]
        if later is not None:
            of_log = read_manifest(later)
            self._sources.append((later, of_log, [name for name in of_log.files if _is_log(name)]))
        self.manifest = manifest
        places = manifest.places
        self.state = self.whole / places.state
        self.store = LogStore(self.whole / places.logs)
        self.folders = LogFolders(self.store.path, self.state / "segments", self.whole / places.quarantine)
        self.names = [name for _, _, names in self._sources for name in names]
        self.n_bytes = sum(manifest.files[name].size for _, manifest, names in self._sources for name in names)

    def copy(self) -> None:
        """Copy the files, never linking them: what lives changes some in place; then compare them all."""
        for source, manifest, names in self._sources:
            for name in names:
                target = self.raw / name
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileNotFoundError):  # `verify` names what is missing
                    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                    with os.fdopen(fd, "wb") as copied, (source / name).open("rb") as stream:
                        shutil.copyfileobj(stream, copied, 1 << 20)
                    target.chmod(manifest.files[name].mode)
            verify(self.raw, manifest, names)

    def arrange(self) -> None:
        """Put every part where the deployment has it, and have it know its new place."""
        places, new = self.manifest.places, self.into
        self._move("state", self.state)
        self.state.mkdir(parents=True, exist_ok=True)
        self._move("segments", self.folders.segments)
        self._move(BUNDLES, self.state / BUNDLES)
        self._move("logs", self.store.path)
        self._move("quarantine", self.folders.quarantine)
        self._move("learning", self.whole / places.learning)
        self._move("router", self.whole / places.router)
        self._move("mlflow.yaml", self.whole / "mlflow.yaml")
        self._move("registry/mlflow.db", self.whole / places.database)
        self._move("registry/artifacts", self.whole / places.artifacts)
        if (self.whole / places.database).is_file():
            move_artifacts(self.whole / places.database, Path(self.manifest.artifacts), new / places.artifacts)
        move_pointers(self.state, new / places.state)
        move_settings(self.whole / "mlflow.yaml", places)

    def _move(self, name: str, target: Path) -> None:
        if (self.raw / name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.raw / name).rename(target)


def _is_log(name: str) -> bool:
    return name.partition("/")[0] in _LOG


def _forgotten(backup: Path, state: Path) -> list[ForgottenOne]:
    """Return who was forgotten until now, as any backup beside this one, or their folder, knows; and keep the list."""
    beside = backup.parent
    lists = [state / FORGOTTEN_FILE, beside / FORGOTTEN_FILE]
    lists += [each / "state" / FORGOTTEN_FILE for each in backups_in(beside)]
    found = read_forgotten(lists)
    (state / FORGOTTEN_FILE).unlink(missing_ok=True)
    for one in found:
        remember_forgotten(state / FORGOTTEN_FILE, one)
    return found


def _cut(store: Path, at: datetime) -> int:
    """Take out of a log what came after a time, and return how many rows that were."""
    days = [folder.name for folder in store.glob("day=*") if folder.name >= f"day={at:%Y-%m-%d}"]
    return drop_rows(store, days, _after("received_at", at)) + sum(
        drop_rows(store, [kind], _after(LATE_TIMES[kind], at)) for kind in LATE_SCHEMAS
    )


def _after(column: str, at: datetime) -> Callable[[pa.Table], NDArray[np.bool_]]:
    def test(table: pa.Table) -> NDArray[np.bool_]:
        late: NDArray[np.bool_] = pc.greater(table[column], pa.scalar(at, table.schema.field(column).type)).to_numpy()
        return late

    return test


def _load_shared(
    staged: _Staged, database_url: str | None, forgotten: Iterable[ForgottenOne], spent: list[Spent], now_s: float
) -> int:
    if not staged.manifest.tables or database_url is None:
        return 0
    from beast_ml.operations.backup.shared_tables import load_tables

    load_tables(database_url, staged.raw, staged.manifest)
    forget_entries_again(database_url, forgotten)
    return raise_spent(database_url, spent, now_s)


def _put_in_place(whole: Path, into: Path, name: str) -> None:
    os.sync()
    if into.is_dir() and any(into.iterdir()):
        into.rename(into.with_name(name))
    whole.rename(into)  # an empty folder gives way
    sync_folder(into.parent)


def _sweep(into: Path) -> None:
    """Remove what killed restores have left."""
    for left in into.parent.glob(f".{into.name}.restoring-*"):
        try:
            os.kill(int(left.name.rpartition("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(left)
        except PermissionError:
            continue  # it lives, and is another user's


def _notes(manifest: Manifest, at: datetime | None, later: Path | None) -> Iterable[str]:
    if at is not None and later is None:
        end = manifest.made_at.isoformat()
        yield f"no later backup holds what was logged until {at.isoformat()}: the log ends at {end}"
    if manifest.places.moved:
        yield (
            f"these lay outside the working directory, and do no more; mlflow.yaml says so, BEAST_* variables must, "
            f"too: {', '.join(manifest.places.moved)}"
        )
    yield (
        "budgets: what was spent after the backup was begun and is in no log that it holds cannot be known; lower the "
        "limits until their periods end where that matters"
    )
    for what, why in manifest.left_out.items():
        yield f"not in the backup: {what} ({why})"
