"""The cache of downloaded bundles, one folder a digest: who needs which of them, and what is deleted.

Kept are bundles that any state folder of this host points at, that a process uses, that the registry has an alias for,
that were asked for within the last hour, and the last few. What goes is renamed first: a bundle is there whole or not
at all, whatever ends the process in between.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from beast_ml.bundle.manifest import MANIFEST
from beast_ml.file_lock import file_lock
from beast_ml.registry.bundle_pointer import PointerFolder, read_pointer

__all__ = ["delete_unused", "hold", "mark_asked", "remember_state"]

_N_LAST: Final = 3
_YOUNG_S: Final = 3600.0
"""Whoever was told of a bundle has loaded it, or points at it, after this time."""
_ABANDONED_S: Final = 86_400.0
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_STATES: Final = ".states"
_LOCK: Final = ".lock"
_OUTGOING: Final = ".outgoing-"
_INCOMING: Final = ".incoming-"


def hold(folder: Path, holder: object) -> None:
    """Keep a bundle from being deleted for as long as an object, or this process, lives."""
    try:
        descriptor = os.open(folder / MANIFEST, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # deleted just now: what was read of it is in memory
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # about to be deleted, or a file system without locks
        os.close(descriptor)
        return
    weakref.finalize(holder, os.close, descriptor).atexit = False


def mark_asked(folder: Path) -> None:
    """Take note that somebody is told of a bundle; from here on it stays for an hour at least."""
    with suppress(OSError), file_lock(folder.parent / _LOCK, shared=True):  # where none can write, nothing is swept
        os.utime(folder)


def remember_state(cache_dir: Path, state: Path) -> None:
    """Take note of a state folder: what it points at is kept, whether or not a process of it runs."""
    where = os.fsencode(state.absolute())
    file = cache_dir / _STATES / blake2b(where, digest_size=16).hexdigest()
    with suppress(OSError):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            incoming = file.with_name(f".{file.name}.{os.getpid()}")
            incoming.write_bytes(where)
            incoming.replace(file)


def delete_unused(cache_dir: Path, keep: Collection[str] = ()) -> list[str]:
    """Delete the bundles that nobody needs, and what broken downloads and deletions have left.

    Parameters
    ----------
    cache_dir
        The cache.
    keep
        Digests to be kept beside those that are known to be needed.

    Returns
    -------
    list of str
        The digests of those that are gone.

    Raises
    ------
    OSError
        If the cache cannot be read or written.
    """
    if not cache_dir.is_dir():
        return []
    with file_lock(cache_dir / _LOCK):
        needed = set(keep).union(*map(_pointed_at, _states(cache_dir)))
        now_s = time.time()
        asked_at = {each: each.stat().st_mtime for each in cache_dir.iterdir() if _DIGEST.fullmatch(each.name)}
        by_age = sorted(asked_at, key=asked_at.__getitem__, reverse=True)
        old = [each for each in by_age[_N_LAST:] if each.name not in needed and now_s - asked_at[each] > _YOUNG_S]
        gone = [folder.name for folder in old if _take_out(folder)]
    for left in cache_dir.glob(f"{_OUTGOING}*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in cache_dir.glob(f"{_INCOMING}*"):
        with suppress(OSError):  # a download that has ended meanwhile
            if now_s - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
    return gone


def _states(cache_dir: Path) -> list[Path]:
    """Return the state folders that are remembered; those that are no more are forgotten."""
    found = []
    for file in (cache_dir / _STATES).glob("[0-9a-f]*"):
        state = Path(os.fsdecode(file.read_bytes()))
        if state.is_dir():
            found.append(state)
        else:
            file.unlink(missing_ok=True)
    return found


def _pointed_at(state: Path) -> set[str]:
    files = PointerFolder(state)
    pointers = map(read_pointer, (files.pointer, files.served, *files.followed.glob("*.json")))
    return {pointer.digest for pointer in pointers if pointer is not None and pointer.digest is not None}


def _take_out(folder: Path) -> bool:
    """Rename a bundle out of the way, unless a process holds it."""
    try:
        descriptor = os.open(folder / MANIFEST, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = None  # damaged: nobody can load it
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.rename(folder.with_name(f"{_OUTGOING}{folder.name}.{os.getpid()}"))
    except BlockingIOError:
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True
