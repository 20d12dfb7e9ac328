"""Files that are there whole or not at all, whenever the process, or the machine, ends."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from beast_ml.errors import DataError

__all__ = ["write_durably"]


def write_durably(path: Path, *parts: bytes) -> None:
    """Replace a file by these parts, one after the other; they are on the disk when this returns.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                for part in parts:
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
            _sync(path.parent)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}") from error


def _sync(folder: Path) -> None:
    """Have it on the disk which files a folder holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
