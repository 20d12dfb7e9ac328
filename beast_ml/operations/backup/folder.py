"""A folder of backups: which are whole, which was made before a time, and which go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from beast_ml.errors import InputError
from beast_ml.logs.segments import sync_folder
from beast_ml.logs.store_parts import lock
from beast_ml.operations.backup.manifest import MANIFEST, name_of, read_manifest

__all__ = ["INCOMING", "backups_in", "find_backup", "locked", "next_after", "prune"]

INCOMING: Final = ".incoming-"
"""Begins the name of one that is not whole."""

_OUTGOING: Final = ".outgoing-"
_LOCK: Final = ".backup.lock"


def backups_in(parent: Path) -> list[Path]:
    """Return the whole backups of a folder, the oldest first."""
    return sorted(path.parent for path in parent.glob(f"[!.]*/{MANIFEST}"))


def find_backup(where: Path, at: datetime | None = None) -> Path:
    """Return a backup, or of a folder of them the newest one, or the newest that was begun at a time or before.

    Raises
    ------
    InputError
        If there is none.
    """
    if (where / MANIFEST).is_file():
        if at is not None and read_manifest(where).made_at > at:
            raise InputError(
                f"the backup {where} was made after {at.isoformat()}: name an earlier one, or their folder"
            )
        return where
    found = backups_in(where)
    if not found:
        raise InputError(f"{where} holds no backup: name one, or the folder that `beast backup --to` was told")
    early = [each for each in found if at is None or each.name <= name_of(at)]
    if not early:
        raise InputError(f"no backup in {where} is of {at} or before: the oldest is {found[0].name}")
    return early[-1]


def next_after(backup: Path, at: datetime) -> Path | None:
    """Return the first backup beside one that was begun after a time: it holds what was logged until then."""
    return next((each for each in backups_in(backup.parent) if each.name > name_of(at)), None)


@contextmanager
def locked(parent: Path) -> Iterator[None]:
    """Be the only one that adds to a folder of backups; what was left half-written in it is removed.

    Raises
    ------
    UnavailableError
        If another backup into it is at work.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock(parent / _LOCK):
        for left in [*parent.glob(f"{INCOMING}*"), *parent.glob(f"{_OUTGOING}*")]:
            shutil.rmtree(left)
        yield


def prune(parent: Path, keep: int) -> list[str]:
    """Delete all but the newest backups of a folder, and return the names of those that went.

    One is renamed first: it is there whole or not at all, whatever ends this in between.
    """
    gone = backups_in(parent)[:-keep]
    for each in gone:
        outgoing = each.with_name(f"{_OUTGOING}{each.name}")
        each.rename(outgoing)
        sync_folder(parent)
        shutil.rmtree(outgoing)
    return [each.name for each in gone]
