"""What one worker of a host does for all of them: whoever holds the lock does it, and the next one when it dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beast_ml.events import events

__all__ = ["ChildCommand", "Chores", "HostChores"]

_LOCK_S: Final = 0.5
_RESTART_S: Final = 1.0
_PIECE_BYTES: Final = 1 << 16
_KEPT_BYTES: Final = 2000


@dataclass(frozen=True)
class ChildCommand:
    """A child process that a host needs: ``arguments`` of this Python.

    Parameters
    ----------
    name
        In events.
    arguments
        Of the interpreter.
    every_s
        Seconds from the end of a run to the next; 0: it runs for ever, and is started anew when it ends.
    environment
        Variables beside those of this process: what is secret goes here, for arguments can be seen by all users.
    """

    name: str
    arguments: tuple[str, ...]
    every_s: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HostChores:
    """The chores of a host.

    Parameters
    ----------
    lock
        The file whose lock makes a worker the one that does them.
    children
        Processes to be kept running: what they need (MLflow, pandas) stays out of the workers.
    """

    lock: Path
    children: tuple[ChildCommand, ...]


class Chores:
    """Waits for the lock, then does the chores until cancelled.

    Parameters
    ----------
    chores
        What is to be done.
    recover
        Called every few seconds while this worker holds the lock: what dead workers left is put in order.
    meanwhile
        Run for as long as this worker holds the lock; begun again where they fail.
    """

    def __init__(
        self,
        chores: HostChores,
        recover: Callable[[], Awaitable[object]] | None = None,
        meanwhile: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
    ) -> None:
        self._chores = chores
        self._recover, self._meanwhile = recover, meanwhile

    async def run(self) -> None:
        """Run until cancelled; children end with it."""
        self._chores.lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._chores.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor):
                await asyncio.sleep(_LOCK_S)
            events.info("chores.leading", lock=str(self._chores.lock))
            async with asyncio.TaskGroup() as group:
                for child in self._chores.children:
                    group.create_task(_keep_running(child))
                if self._recover is not None:
                    group.create_task(_repeat(self._recover))
                for each in self._meanwhile:
                    group.create_task(_begun_again(each))
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _repeat(what: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await what()
        except Exception as error:  # noqa: BLE001  a chore that fails now is tried again; the worker goes on serving
            events.error("chores.failed", error=repr(error))
        await asyncio.sleep(2.0)


async def _begun_again(what: Callable[[], Coroutine[None, None, None]]) -> None:
    while True:
        try:
            return await what()
        except Exception as error:  # noqa: BLE001  one chore that fails must not end the others
            events.error("chores.failed", error=repr(error))
        await asyncio.sleep(_RESTART_S)


async def _keep_running(child: ChildCommand) -> None:
    """Run a child again and again; it sees the end of its standard input when this process dies, and ends too."""
    if child.every_s:
        await asyncio.sleep(child.every_s)
    while True:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *child.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **child.environment},
            )
        except OSError as error:  # no memory for it, say: neither it nor any other chore is given up
            events.error("chores.child_not_started", child=child.name, error=repr(error))
            await asyncio.sleep(_RESTART_S)
            continue
        try:
            assert process.stderr is not None  # noqa: S101  it was asked for
            said = await _passed_on(process.stderr)
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if code:
            events.error("chores.child_failed", child=child.name, code=code, said=said.decode(errors="replace"))
        await asyncio.sleep(child.every_s or _RESTART_S)


async def _passed_on(errors: asyncio.StreamReader) -> bytes:
    """Say what a child says, as it comes: its events are this server's. Return the end of it."""
    said = b""
    while piece := await errors.read(_PIECE_BYTES):
        sys.stderr.write(piece.decode(errors="replace"))
        sys.stderr.flush()
        said = (said + piece)[-_KEPT_BYTES:]
    return said
