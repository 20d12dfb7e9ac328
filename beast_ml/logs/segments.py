"""The durable end of the request log: rows that were appended survive the death of the process that wrote them.

    segments/<time>-<pid>-<token>.open.jsonl    being written; its writer holds a lock on it
    segments/<time>-<pid>-<token>.jsonl         sealed: whole, and never changed again

A row has left the process when `SegmentWriter.append` returns, so that it survives a kill; it is on the disk, and so
survives a power failure, after the next group commit. `beast_ml.logs.compaction` takes sealed segments into the store.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from beast_ml.errors import InputError, UnavailableError

__all__ = [
    "OPEN_SUFFIX",
    "SEALED_SUFFIX",
    "SegmentWriter",
    "oldest_segment_at",
    "seal_abandoned",
    "sealed_segments",
    "sync_folder",
]

SEALED_SUFFIX: Final = ".jsonl"
"""Ends the name of a segment that is written no more."""

OPEN_SUFFIX: Final = ".open.jsonl"
"""Ends the name of one that is being written."""

_NEW_PREFIX: Final = ".new-"


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: the names of files that were made, renamed or removed in it."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Segment:
    """A file that is being written."""

    __slots__ = ("fd", "is_listed", "n_bytes", "opened_at", "path", "synced_bytes")

    def __init__(self, fd: int, path: Path, opened_at: float) -> None:
        self.fd, self.path, self.opened_at = fd, path, opened_at
        self.n_bytes = self.synced_bytes = 0
        self.is_listed = False  # whether the folder's entry of it is on the disk


class SegmentWriter:
    """Appends rows to segments of a log; of one process, any of its threads may append.

    Parameters
    ----------
    folder
        Where the segments lie; it is made where it does not exist.
    max_bytes, max_age_s
        A segment that is as long, or as old, is sealed, and the next row starts another.
    sync_s
        Seconds after which a row is on the disk at the latest.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int = 64 << 20, max_age_s: float = 60.0, sync_s: float = 0.2
    ) -> None:
        self.folder = folder
        self.n_rows = 0
        """Rows appended since the start."""
        self.error: str | None = None
        """Why the disk does not take rows now; None while it does."""
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._segment: _Segment | None = None
        self._retired: list[_Segment] = []
        self._is_closed = self._is_sync_broken = False
        self._lock = threading.Lock()  # held for a write, never for a sync: nobody waits for the disk
        self._commit_lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._commit_forever, args=(sync_s,), name="segments", daemon=True)
        self._thread.start()

    @property
    def unsynced_bytes(self) -> int:
        """Bytes that are with the operating system, and not known to be on the disk."""
        with self._lock:
            waiting = [*self._retired, *([self._segment] if self._segment else [])]
            return sum(segment.n_bytes - segment.synced_bytes for segment in waiting)

    def append(self, line: bytes) -> None:
        """Append one row: a complete JSON object without a line break. When this returns, a kill cannot lose it.

        Raises
        ------
        UnavailableError
            If the disk refuses; then the row is not in the log. The next call tries again.
        """
        if b"\n" in line:
            raise InputError("a row of the log holds a line break: write it as one line of JSON")
        self._write(line + b"\n", 1)

    def append_many(self, lines: Sequence[bytes]) -> None:
        """Append rows with one write: all of them, or when the disk refuses none."""
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        if data.count(b"\n") != len(lines):
            raise InputError("a row of the log holds a line break: write each as one line of JSON")
        self._write(data, len(lines))

    def sync(self) -> None:
        """Wait until everything appended before is on the disk.

        Raises
        ------
        UnavailableError
            If the disk refuses.
        """
        self._commit()
        if self.error is not None and self._is_sync_broken:
            raise UnavailableError(self.error)

    def close(self) -> None:
        """Put everything on the disk and seal the segment; appending to a closed writer is refused."""
        with self._lock:
            self._is_closed = True
            self._retire()
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._commit()

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, data: bytes, n_rows: int) -> None:
        with self._lock:
            if self._is_closed:
                raise UnavailableError("the request log is closed: the server is stopping, send the request elsewhere")
            if self._is_sync_broken:
                raise UnavailableError(self.error or "")
            segment = self._segment
            try:
                if segment is None:
                    segment = self._segment = _opened(self.folder)
                n_written = os.write(segment.fd, data)
                while n_written < len(data):  # a full disk takes a part, and refuses the rest by an error
                    n_written += os.write(segment.fd, data[n_written:])
            except OSError as error:
                self.error = self._refusal(error)
                self._undo()
                raise UnavailableError(self.error) from error
            self.error = None
            self.n_rows += n_rows
            segment.n_bytes += n_written
            if segment.n_bytes >= self._max_bytes:
                self._retire()

    def _undo(self) -> None:
        """Take back what a refused write left behind; where that fails too, write no further into this file."""
        if self._segment is not None:
            try:
                os.ftruncate(self._segment.fd, self._segment.n_bytes)
            except OSError:
                self._retire()

    def _retire(self) -> None:
        if self._segment is not None:
            self._retired.append(self._segment)
            self._segment = None

    def _commit_forever(self, sync_s: float) -> None:
        while not self._stop.wait(sync_s):
            self._commit()

    def _commit(self) -> None:
        """Put on the disk what is not there yet, and seal what has had its time.

        Only this closes files, one thread at a time, so that a file that is being synced stays open.
        """
        with self._commit_lock:
            with self._lock:
                segment = self._segment
                if segment is not None and (
                    time.monotonic() - segment.opened_at >= self._max_age_s or not os.fstat(segment.fd).st_nlink
                ):  # old, or removed by someone
                    self._retire()
                    segment = None
                retired, self._retired = self._retired, []
                n_bytes = segment.n_bytes if segment is not None else 0
            try:
                if self._is_sync_broken:
                    _probe(self.folder)
                for each in [*retired, *([segment] if segment is not None and n_bytes else [])]:
                    _sync(each)
                if self._is_sync_broken:
                    self._is_sync_broken, self.error = False, None
            except OSError as error:
                with self._lock:  # what a failed sync leaves on the disk is anyone's guess: go on in another file
                    self.error = self._refusal(error)
                    self._is_sync_broken = True
                    if self._segment is segment:
                        self._retire()
            for each in retired:
                _seal(each)

    def _refusal(self, error: OSError) -> str:
        return (
            f"the request log in {self.folder} cannot be written ({error.strerror or error}), and nothing is served "
            "that is not logged: free or mend the disk; the server goes on by itself"
        )


def sealed_segments(folder: Path) -> list[Path]:
    """Return the sealed segments of a folder, the oldest first."""
    return sorted(path for path in folder.glob(f"[!.]*{SEALED_SUFFIX}") if not path.name.endswith(OPEN_SUFFIX))


def oldest_segment_at(folder: Path) -> float | None:
    """Return when the oldest segment was begun, in seconds since 1970; None where there is none.

    So old is the oldest row, at most, that is not in the store yet.
    """
    try:
        began = [path.name.partition("-")[0] for path in folder.iterdir() if path.name.endswith(SEALED_SUFFIX)]
    except FileNotFoundError:
        return None
    return min((int(each) / 1e9 for each in began if each.isdigit()), default=None)


def seal_abandoned(folder: Path) -> list[Path]:
    """Seal the open segments whose writers are dead, and return what they are called now."""
    found = []
    for path in sorted(folder.glob(f"{_NEW_PREFIX}*")):  # killed before it was given its name: it is empty
        with suppress(OSError), _locked(path):
            path.unlink()
    for path in sorted(folder.glob(f"*{OPEN_SUFFIX}")):
        with suppress(BlockingIOError, FileNotFoundError), _locked(path):
            found.append(path.rename(_sealed_name(path)))
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that nobody else holds."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _opened(folder: Path) -> _Segment:
    """Return a new segment. It gets its name when it is locked, so that nobody takes it for an abandoned one."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        hidden, path = folder / f"{_NEW_PREFIX}{name}", folder / f"{name}{OPEN_SUFFIX}"
        fd = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(path)
        except (BlockingIOError, FileNotFoundError):  # a compaction swept it up before it was locked
            os.close(fd)
        except OSError:
            os.close(fd)
            raise
        else:
            return _Segment(fd, path, time.monotonic())


def _sync(segment: _Segment) -> None:
    n_bytes = segment.n_bytes
    os.fdatasync(segment.fd)
    if not segment.is_listed:
        sync_folder(segment.path.parent)
        segment.is_listed = True
    segment.synced_bytes = n_bytes


def _seal(segment: _Segment) -> None:
    """Give a segment its final name; where the disk refuses, a compaction will."""
    with suppress(OSError):
        segment.path.rename(_sealed_name(segment.path))
    os.close(segment.fd)


def _sealed_name(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(OPEN_SUFFIX) + SEALED_SUFFIX)


def _probe(folder: Path) -> None:
    """Write and sync something.

    Raises
    ------
    OSError
        If the disk refuses still.
    """
    path = folder / f"{_NEW_PREFIX}probe-{os.getpid()}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, b"{}\n")
        os.fsync(fd)
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)
