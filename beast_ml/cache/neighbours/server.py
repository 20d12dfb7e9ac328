"""The server: connections on a unix socket, one thread that computes, and bounds on what waits for it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from beast_ml.cache.neighbours.command import check_socket
from beast_ml.cache.neighbours.engine import Engine
from beast_ml.cache.neighbours.frames import (
    Add,
    Done,
    Figures,
    Found,
    FrameReader,
    Lookup,
    NewEntry,
    Rebuild,
    Refused,
    Remove,
    Reply,
    Request,
    Stats,
    Verified,
    Welcome,
    frame,
)
from beast_ml.errors import BeastError, DataError, InputError
from beast_ml.events import events

__all__ = ["NeighbourServer", "ServerLimits"]

_LOOKUPS_AT_ONCE: Final = 64
_ADDED_AT_ONCE: Final = 8
_UPKEEP_S: Final = 2.0


@dataclass(frozen=True)
class ServerLimits:
    """How much may wait.

    Parameters
    ----------
    lookups
        More than these are refused at once: the last of them would be too late anyway.
    entries
        Entries that are not embedded yet.
    snapshot_s
        Least seconds between two snapshots of the index; each waits twenty times as long as the last one took.
    """

    lookups: int = 256
    entries: int = 16_384
    snapshot_s: float = 60.0


class _Waiting:
    """A lookup, whom to answer, and until when."""

    __slots__ = ("lookup", "reply", "until")

    def __init__(self, lookup: Lookup, reply: Callable[[Reply], None], until: float) -> None:
        self.lookup, self.reply, self.until = lookup, reply, until


class NeighbourServer:
    """Answers clients until closed.

    Parameters
    ----------
    engine
        What knows the answers.
    instance
        Unlike that of any earlier start; clients see by it that entries may be missing.
    limits
        How much may wait.
    save
        Writes the index to disk; None: it is not kept.
    cache, encoder
        Digest of the trained cache, and hash of its encoder.
    start_s, memory_bytes
        Of the process; see `Figures`.
    """

    def __init__(
        self,
        engine: Engine,
        instance: str,
        limits: ServerLimits | None = None,
        save: Callable[[], object] | None = None,
        cache: str = "",
        encoder: str = "",
        start_s: float = 0.0,
        memory_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._engine = engine
        self._instance = instance
        self._limits = limits or ServerLimits()
        self._save = save
        self._cache, self._encoder = cache, encoder
        self._start_s = start_s
        self._memory_bytes = memory_bytes
        self._lookups: deque[_Waiting] = deque()
        self._work: deque[NewEntry | Callable[[], None]] = deque()
        self._awake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "neighbours")
        self._n_lookups = self._n_overloaded = 0
        self._connections: set[_Connection] = set()

    async def serve(self, path: Path, ready: Callable[[], None] = lambda: None) -> None:
        """Listen at a path until cancelled; what was in the index is saved at the end.

        Raises
        ------
        InputError
            If the path is too long for a socket, or cannot be listened at.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(partial(_Connection, self), sock=_listening(path))
        tasks = [asyncio.create_task(self._compute()), asyncio.create_task(self._upkeep())]
        ready()
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            server.close()
            for connection in tuple(self._connections):
                connection.close()
            self._thread.shutdown(wait=True, cancel_futures=True)
            if self._save is not None:
                self._save()

    def opened(self, connection: _Connection) -> None:
        """Greet a client."""
        self._connections.add(connection)
        connection.send(Welcome(self._instance, self._cache, self._encoder))

    def closed(self, connection: _Connection) -> None:
        """Forget a client; what it asked for is computed and thrown away."""
        self._connections.discard(connection)

    def take(self, message: Request, reply: Callable[[Reply], None]) -> None:
        """Do what a client asks for, now or in its turn."""
        index = self._engine.index
        match message:
            case Lookup():
                self._n_lookups += 1
                if len(self._lookups) >= self._limits.lookups:
                    self._n_overloaded += 1
                    reply(Found(message.id, "overloaded"))
                    return
                self._lookups.append(_Waiting(message, reply, time.monotonic() + message.within_s))
            case Add():
                room = max(0, self._limits.entries - len(self._work))
                self._work.extend(message.entries[:room])
                reply(Done(message.id, min(room, len(message.entries))))
            case Remove():
                # Behind what waits: an entry that is not embedded yet would else come in after it was removed.
                self._work.append(partial(self._remove, message, reply))
            case Rebuild(ended=False):
                index.begin_rebuild()
                reply(Done(message.id, 0))
            case Rebuild():
                self._work.append(lambda: reply(Done(message.id, index.end_rebuild())))
            case Verified():
                self._work.append(partial(self._learn, message, reply))
            case Stats():
                reply(self._figures(message.id))
        self._awake.set()

    def _remove(self, message: Remove, reply: Callable[[Reply], None]) -> None:
        index = self._engine.index
        n = index.remove(message.entry_ids) + sum(index.remove_partition(each) for each in message.partitions)
        reply(Done(message.id, n))

    def _learn(self, message: Verified, reply: Callable[[Reply], None]) -> None:
        thresholds = self._engine.thresholds
        if thresholds is not None:
            thresholds.learn(message)
        reply(Done(message.id, int(thresholds is not None)))

    async def _compute(self) -> None:
        """Answer lookups as long as there are any, and take entries in between."""
        loop = asyncio.get_running_loop()
        while True:
            if self._lookups:
                batch = [self._lookups.popleft() for _ in range(min(len(self._lookups), _LOOKUPS_AT_ONCE))]
                await loop.run_in_executor(self._thread, self._answer, batch, loop)
            elif self._work:
                await self._some_work(loop)
            else:
                self._awake.clear()
                await self._awake.wait()

    def _answer(self, batch: list[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        """Compute, in the thread; replies are sent from the loop as they come."""
        waiting = {id(each.lookup): each for each in batch}

        def is_late(lookup: Lookup) -> bool:
            return time.monotonic() > waiting[id(lookup)].until

        try:
            for lookup, found in self._engine.lookup([each.lookup for each in batch], is_late):
                loop.call_soon_threadsafe(waiting.pop(id(lookup)).reply, found)
        except Exception as error:  # noqa: BLE001  a text that cannot be embedded must not end the process for all others
            events.error("cache.lookup_failed", error=repr(error))
        for each in waiting.values():
            loop.call_soon_threadsafe(each.reply, Found(each.lookup.id, "away"))

    async def _some_work(self, loop: asyncio.AbstractEventLoop) -> None:
        entries: list[NewEntry] = []
        while self._work and len(entries) < _ADDED_AT_ONCE and isinstance(self._work[0], NewEntry):
            entries.append(self._work.popleft())  # type: ignore[arg-type]  # looked at above
        if entries:
            try:
                await loop.run_in_executor(self._thread, self._engine.add, entries)
            except Exception as error:  # noqa: BLE001  nor must an entry, which is only not found
                events.error("cache.entries_not_indexed", error=repr(error))
        else:
            self._work.popleft()()  # type: ignore[operator]  # what is no entry is to be called

    async def _upkeep(self) -> None:
        """Train inverted lists and write snapshots when they are due, in a thread of their own."""
        saved, wait_s, due = self._engine.n_changes, self._limits.snapshot_s, time.monotonic()
        due += wait_s
        while True:
            await asyncio.sleep(_UPKEEP_S)
            await asyncio.to_thread(self._engine.index.train_lists, np.random.default_rng(0))
            changes = self._engine.n_changes
            if self._save is None or changes == saved or time.monotonic() < due:
                continue
            began = time.monotonic()
            try:
                await asyncio.to_thread(self._save)
                saved = changes
            except BeastError as error:  # a full disk, say; entries can be found all the same
                events.error("cache.index_not_saved", error=str(error))
            due = time.monotonic() + max(wait_s, 20 * (time.monotonic() - began))

    def _figures(self, id_: int) -> Figures:
        counts, index, thresholds = self._engine.counts, self._engine.index, self._engine.thresholds
        return Figures(
            id=id_,
            start_s=self._start_s,
            memory_bytes=self._memory_bytes(),
            index_bytes=index.n_bytes,
            entries=len(index),
            partitions=index.n_partitions,
            waiting=len(self._work),
            lookups=self._n_lookups,
            gated=counts.gated,
            embedded=counts.embedded,
            late=counts.late,
            overloaded=self._n_overloaded,
            **({} if thresholds is None else thresholds.figures()),
        )


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: NeighbourServer) -> None:
        self._server = server
        self._frames = FrameReader(Request)  # type: ignore[arg-type]  # a union is no class
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = transport
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget."""
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take what is whole; who sends what is no message is told so and left."""
        try:
            for message in self._frames.read(data):
                self._server.take(message, self.send)  # type: ignore[arg-type]  # the decoder gives nothing else
        except DataError as error:
            events.error("cache.bad_message", error=str(error))
            self.send(Refused(str(error)))
            self._transport.close()

    def send(self, message: Reply) -> None:
        """Send, unless the client is gone."""
        if not self._transport.is_closing():
            self._transport.write(frame(message))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def _listening(path: Path) -> socket.socket:
    check_socket(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen at {path} ({error}): choose another serving.state") from error
    return listener
