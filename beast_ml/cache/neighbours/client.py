"""A worker's side: asks the process of the host, and lives without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np

from beast_ml.cache.index.partition import Neighbour
from beast_ml.cache.neighbours.frames import (
    Add,
    Done,
    Figures,
    Found,
    FrameReader,
    Lookup,
    NewEntry,
    Outcome,
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
from beast_ml.errors import DataError
from beast_ml.events import events
from beast_ml.features.encoder import Vectors, clip_text

__all__ = ["NeighbourClient", "Neighbours"]

_RECONNECT_S: Final = 0.1
_PATIENCE_S: Final = 5.0
_REBUILD_PATIENCE_S: Final = 600.0
_AT_ONCE: Final = 256
_FULL_S: Final = 0.25
_MOST_UNSENT_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Neighbours:
    """What a lookup came to.

    Parameters
    ----------
    outcome
        Whether it was looked at all; all but ``searched`` is a miss.
    neighbours
        Nearest first.
    threshold
        Score from which on one of them may be served; None: none may.
    vector, vectors
        (dim,) float32 of the text and of each neighbour, where they were asked for.
    encoder
        Hash of the encoder that made them.
    """

    outcome: Outcome
    neighbours: tuple[Neighbour, ...] = ()
    threshold: float | None = None
    vector: Vectors | None = None
    vectors: tuple[Vectors, ...] = ()
    encoder: str = ""


class NeighbourClient:
    """Asks the process at a socket, over one connection, many questions at a time.

    No call waits for a connection, or raises for what the process does: while it is away, lookups miss at once. The
    connection is made anew as soon as the process is back. Belongs to one event loop.

    Parameters
    ----------
    path
        The socket.
    within_s
        Seconds that a lookup may take.
    """

    def __init__(self, path: Path, within_s: float = 0.1) -> None:
        self._path = path
        self._within_s = within_s
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[Reply | None]] = {}
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.instance: str | None = None
        """Which start of the process is connected; None while there is none."""
        self.cache = ""
        """Digest of the trained cache that it works with."""
        self.encoder = ""
        """Hash of the encoder whose vectors it gives."""

    async def start(self) -> None:
        """Connect, now if the process is there, else when it is."""
        await self._connect()
        self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    async def lookup(
        self,
        partition: bytes,
        text: str,
        k: int = 4,
        *,
        gated: bool = True,
        vectors: bool = False,
        within_s: float | None = None,
        tenant: str = "",
    ) -> Neighbours:
        """Return up to k entries of a partition that are near a text.

        Parameters
        ----------
        partition, text
            Of the request's key.
        k
            How many.
        gated
            Whether a look at the static table may do, where that says there is nothing.
        vectors
            Whether the vectors of the text and of its neighbours are wanted, too.
        within_s
            Seconds it may take, if not as long as all.
        tenant
            Whose partition it is, where something may be served.
        """
        patience = self._within_s if within_s is None else within_s
        reply = await self._ask(
            lambda id_: Lookup(id_, partition, clip_text(text), k, patience, gated, vectors, tenant), patience
        )
        if isinstance(reply, Found):
            return Neighbours(
                reply.outcome,
                tuple(reply.neighbours),
                reply.threshold,
                np.frombuffer(reply.vector, dtype=np.float32) if reply.vector else None,
                tuple(np.frombuffer(each, dtype=np.float32) for each in reply.vectors),
                self.encoder,
            )
        return Neighbours("away" if self.instance is None else "late")

    async def add(self, entries: Sequence[NewEntry]) -> int:
        """Have entries embedded and taken in soon; return how many there was room for, 0 while there is no process."""
        sent = [NewEntry(each.entry_id, each.partition, clip_text(each.text)) for each in entries]
        return await self._count(lambda id_: Add(id_, sent), _PATIENCE_S)

    async def remove(self, entry_ids: Sequence[str], partitions: Sequence[bytes] = ()) -> int:
        """Have entries, or all of some partitions, forgotten; return how many were known."""
        return await self._count(lambda id_: Remove(id_, list(entry_ids), list(partitions)), _PATIENCE_S)

    async def vector(self, text: str) -> Vectors | None:
        """Return the (dim,) float32 vector of a text; None while there is no process."""
        return (await self.lookup(b"", text, 0, gated=False, vectors=True, within_s=_PATIENCE_S)).vector

    async def verified(
        self, partition: bytes, tenant: str, score: float, *, wrong: bool | None, probability: float, unverified: int
    ) -> bool:
        """Tell of a lookup that was picked to be verified; see `frames.Verified`. Return whether it was heard."""
        reply = await self._ask(
            lambda id_: Verified(id_, partition, tenant, score, wrong, probability, unverified), _PATIENCE_S
        )
        return reply is not None

    async def stats(self) -> Figures | None:
        """Return how the process is doing; None if it does not say."""
        reply = await self._ask(Stats, _PATIENCE_S)
        return reply if isinstance(reply, Figures) else None

    async def rebuild(self, entries: Iterable[NewEntry]) -> int | None:
        """Name all entries that there are: unknown ones are taken in, known ones that are not named are forgotten.

        Parameters
        ----------
        entries
            Read in a thread, some at a time.

        Returns
        -------
        n
            How many were forgotten; None if the process went away meanwhile.
        """
        instance, remaining = self.instance, iter(entries)
        if await self._ask(lambda id_: Rebuild(id_, ended=False), _PATIENCE_S) is None:
            return None
        while batch := await asyncio.to_thread(lambda: list(islice(remaining, _AT_ONCE))):
            while batch:
                taken = await self.add(batch)
                if self.instance != instance:
                    return None
                batch = batch[taken:]
                if batch:
                    await asyncio.sleep(_FULL_S)  # it embeds what it has, between lookups
        reply = await self._ask(lambda id_: Rebuild(id_, ended=True), _REBUILD_PATIENCE_S)
        return reply.n if isinstance(reply, Done) else None

    async def keep_rebuilt(self, scan: Callable[[], Iterable[NewEntry]], every_s: float = inf) -> None:
        """Rebuild whenever the process has started anew, until cancelled; one worker of a host does it.

        Parameters
        ----------
        scan
            Returns all entries that there are.
        every_s
            Seconds after which it is rebuilt again, so that what other hosts have stored is found, and what has
            expired is forgotten.
        """
        rebuilt: str | None = None
        due = 0.0
        while True:
            instance = self.instance
            if instance is not None and (instance != rebuilt or time.monotonic() >= due):
                forgotten = await self.rebuild(scan())
                if forgotten is not None and self.instance == instance:
                    rebuilt, due = instance, time.monotonic() + every_s
                    events.info("cache.index_rebuilt", forgotten=forgotten)
            await asyncio.sleep(_FULL_S)

    async def _count(self, message: Callable[[int], Request], patience_s: float) -> int:
        reply = await self._ask(message, patience_s)
        return reply.n if isinstance(reply, Done) else 0

    async def _ask(self, message: Callable[[int], Request], patience_s: float) -> Reply | None:
        """Return the reply; None if there is no process, or it is not quick enough."""
        connection = self._connection
        if connection is None or connection.is_full():
            return None
        id_ = next(self._ids)
        answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._asked[id_] = answer
        timer = asyncio.get_running_loop().call_later(patience_s, self._give_up, id_)
        try:
            connection.send(message(id_))
            return await answer
        finally:
            timer.cancel()
            self._asked.pop(id_, None)

    def _give_up(self, id_: int) -> None:
        answer = self._asked.pop(id_, None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def heard(self, message: Reply) -> None:
        """Hand a reply to who waits for it; one that comes too late is thrown away."""
        if isinstance(message, Welcome):
            self.instance, self.cache, self.encoder = message.instance, message.cache, message.encoder
        elif isinstance(message, Refused):
            events.error("cache.process_refused", reason=message.reason)
        else:
            answer = self._asked.pop(message.id, None)
            if answer is not None and not answer.done():
                answer.set_result(message)

    def lost(self) -> None:
        """Let nobody wait any longer: the process is gone."""
        self._connection = self.instance = None
        for id_ in tuple(self._asked):
            self._give_up(id_)

    async def _stay_connected(self) -> None:
        while True:
            await asyncio.sleep(_RECONNECT_S)
            if self._connection is None:
                await self._connect()

    async def _connect(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Connection(self), str(self._path)
            )
        except OSError:
            return  # not there yet, or not any more
        self._connection = connection if connection.is_open else None


class _Connection(asyncio.Protocol):
    """The socket."""

    def __init__(self, client: NeighbourClient) -> None:
        self._client = client
        self._frames = FrameReader(Reply)  # type: ignore[arg-type]  # a union is no class
        self._transport: Any = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._client.lost()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.read(data):
                self._client.heard(message)  # type: ignore[arg-type]  # the decoder gives nothing else
        except DataError as error:
            events.error("cache.bad_message", error=str(error))
            self._transport.abort()

    def send(self, message: Request) -> None:
        self._transport.write(frame(message))

    def is_full(self) -> bool:
        """Whether so much waits to be sent that more of it would only grow old."""
        return bool(self._transport.is_closing() or self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES)

    def close(self) -> None:
        self._transport.close()
