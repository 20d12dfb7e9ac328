"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["file_lock"]


@contextmanager
def file_lock(file: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there; its folder is not.

    Parameters
    ----------
    wait
        Until whoever holds it lets go.
    shared
        Together with others that want no more than that.

    Raises
    ------
    BlockingIOError
        If somebody else holds it, and we do not wait.
    OSError
        If the file cannot be opened.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
