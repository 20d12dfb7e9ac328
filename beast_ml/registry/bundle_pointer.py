"""A small file that says which bundle an address in the registry points at, and where it lies on this machine.

The registry's watcher writes it, serving reads it: neither needs the other to be alive.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import msgspec

__all__ = ["BundlePointer", "FileSignature", "PointerFolder", "file_signature", "read_pointer", "write_pointer"]

FileSignature = tuple[int, int, int]
"""Nanoseconds of the last change, inode and size: another one is another content."""


class BundlePointer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an address points.

    Parameters
    ----------
    uri
        The address, such as ``models:/beast-router@champion``.
    path, version, digest
        The verified bundle it pointed at when it was last resolved; None before that.
    checked_at
        When the registry last answered: the beginning of that look.
    changed_at
        When another bundle than before was found.
    tried_at
        When the registry was last asked, whether it answered or not.
    error
        Why the last look failed; None when it did not. Path and digest stay those of the last good one.
    """

    uri: str
    path: str | None = None
    version: int | None = None
    digest: str | None = None
    checked_at: datetime | None = None
    changed_at: datetime | None = None
    tried_at: datetime | None = None
    error: str | None = None


class PointerFolder(msgspec.Struct, frozen=True):
    """Where a host keeps what its workers and its watcher tell each other.

    Parameters
    ----------
    state
        The folder of serving's state.
    """

    state: Path

    @property
    def pointer(self) -> Path:
        """The bundle that the served address points at."""
        return self.state / "bundle.json"

    @property
    def served(self) -> Path:
        """The bundle that has last proved itself in service."""
        return self.state / "served.json"

    @property
    def followed(self) -> Path:
        """Pointers of the other aliases that are followed; making one asks for it."""
        return self.state / "followed"

    @property
    def refused(self) -> Path:
        """One file for each bundle that was taken out of service."""
        return self.state / "refused"

    @property
    def reload(self) -> Path:
        """Touching this file asks for a look at the registry now."""
        return self.state / "reload"

    @property
    def lock(self) -> Path:
        """Whoever resolves for the first time holds it, so that a host's workers do it once."""
        return self.state / "locks" / "resolve.lock"


def read_pointer(file: Path) -> BundlePointer | None:
    """Return a pointer, or None where there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=BundlePointer)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_pointer(file: Path, pointer: BundlePointer, *, durable: bool = True) -> None:
    """Replace a pointer by one rename; with ``durable``, it is on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    incoming = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with incoming.open("wb") as stream:
            stream.write(msgspec.json.encode(pointer))
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        incoming.replace(file)
    except OSError:
        incoming.unlink(missing_ok=True)
        raise


def file_signature(file: Path) -> FileSignature | None:
    """Return what changes with a file's content, or None where there is no such file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
