"""The loop's state on disk: there whole or not at all, and held by one loop at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.durable import write_durably
from beast_ml.errors import DataError
from beast_ml.operations.learning_loop.states import LoopState

__all__ = ["DRIFT_FILE", "LOOP_FILE", "StateFile"]

LOOP_FILE: Final = "loop.json"
DRIFT_FILE: Final = "drift.json"
"""Within the folder of the loop: its own state, and that of the drift monitor which it lets read on."""


class StateFile:
    """A file that holds a `LoopState`.

    Parameters
    ----------
    path
        It need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> LoopState | None:
        """Return the state; None where the loop never ran.

        Raises
        ------
        DataError
            If the file holds anything else: nothing is done on a guess.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error}") from error
        try:
            return msgspec.json.decode(content, type=LoopState)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.path} holds no state of the loop ({error}): restore it, or remove it to begin with cycle 1; "
                "what serves stays as it is"
            ) from error

    def write(self, state: LoopState) -> None:
        """Replace the state; it is on the disk when this returns.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        write_durably(self.path, msgspec.json.format(msgspec.json.encode(state), indent=2), b"\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the loop: no other process may run it in the block.

        Raises
        ------
        DataError
            If another one does.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_name(f"{self.path.name}.lock").open("wb")
        except OSError as error:
            raise DataError(f"cannot write beside {self.path}: {error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataError(f"another process runs the loop of {self.path}: leave it to that one") from error
            yield
