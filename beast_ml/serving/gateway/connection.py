"""One connection to a provider, and the exchange that is on it: HTTP/1.1, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import httptools
import httpx2

__all__ = ["Answer", "Connection"]

_MOST_WAITING_BYTES: Final = 1 << 20
"""Of an answer that nobody has read yet; the provider is not read any further."""

_NO_BODY_FOLLOWS: Final = 200
"""Below it an answer is a word between (RFC 9110, 15.2): the real one is still to come."""


class Connection(asyncio.Protocol):
    """A connection, made by `asyncio.loop.create_connection`.

    Parameters
    ----------
    on_lost
        Told when it is gone.
    """

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self.idle_since = 0.0
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: httpx2.TransportError | None = None
        self._read_s = 0.0
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._parts: list[bytes] = []
        self._n_waiting = 0
        self._headed = self._complete = self._paused = self._to_its_end = self._ends_here = False

    @property
    def usable(self) -> bool:
        """Whether another request can be sent on it."""
        if self._transport is None or self._transport.is_closing() or self._error is not None:
            return False
        return self._complete and not self._ends_here

    def close(self) -> None:
        """Close it, and with it whatever is on it."""
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes, read_s: float) -> Answer:
        """Send a request; return the head of its answer.

        Parameters
        ----------
        request
            Head and body.
        read_s
            Most seconds to wait for the answer's head, and for each next part of it.

        Raises
        ------
        httpx2.TransportError
            If there is none.
        """
        assert self._transport is not None  # noqa: S101  whoever has a connection has waited for it
        self._reset()
        self._parser, self._read_s = httptools.HttpResponseParser(self), read_s
        self._transport.write(request)
        while not self._headed:
            await self._more()
        return Answer(self, self._status, self._headers)

    async def part(self) -> bytes | None:
        """Return what came of the answer since the last call, once there is some; None at its end.

        Raises
        ------
        httpx2.TransportError
            If the answer breaks off.
        """
        while not self._parts and not self._complete:
            await self._more()
        if not self._parts:
            return None
        came = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._n_waiting = [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return came

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = waiter = self._loop.create_future()
        patience = self._loop.call_later(self._read_s, self._too_late, waiter)
        try:
            await waiter
        finally:
            patience.cancel()
            self._waiter = None

    def _too_late(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(httpx2.ReadTimeout(f"nothing came for {self._read_s:g} s"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, error: httpx2.TransportError) -> None:
        self._error = self._error or error
        self.close()
        self._wake()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)  # of a stream socket; uvloop has a class of its own

    def data_received(self, data: bytes) -> None:
        """Read on."""
        parser = self._parser
        if parser is None or self._complete:
            self._break(httpx2.RemoteProtocolError("the provider said something that it was not asked for"))
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:  # an upgrade nobody asked for is one, too
            self._break(httpx2.RemoteProtocolError(f"the provider's answer is no HTTP: {error}"))
            return
        if self._n_waiting > _MOST_WAITING_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """End an answer that told no length; any other has broken off."""
        if self._headed and self._to_its_end:
            self._complete = self._ends_here = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        if not self._complete:
            said = str(exc) if exc is not None else "the provider closed the connection without a whole answer"
            self._error = self._error or httpx2.ReadError(said)
        self._transport = None
        self._on_lost(self)
        self._wake()

    # What the parser tells.

    def on_message_begin(self) -> None:
        """Begin an answer."""
        if self._complete:
            self._error = httpx2.RemoteProtocolError("the provider answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Read the head."""
        assert self._parser is not None  # noqa: S101  it is calling
        self._status = self._parser.get_status_code()
        if self._status < _NO_BODY_FOLLOWS:
            self._headers = []
            return
        self._headed = True
        names = {name for name, _ in self._headers}
        self._to_its_end = not names & {b"content-length", b"transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        """Keep a part."""
        self._parts.append(body)
        self._n_waiting += len(body)

    def on_message_complete(self) -> None:
        """End the answer."""
        assert self._parser is not None  # noqa: S101  it is calling
        self._complete = self._headed
        self._ends_here = self._headed and not self._parser.should_keep_alive()


class Answer:
    """The answer to a request, its body still to be read. Whoever gets it closes it.

    Parameters
    ----------
    connection
        It comes on.
    status_code, raw_headers
        Its head; names in lower case.
    """

    def __init__(self, connection: Connection, status_code: int, raw_headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code, self.raw_headers = status_code, raw_headers
        self.on_close: Callable[[Connection], None] = Connection.close
        self._connection: Connection | None = connection

    @property
    def headers(self) -> dict[str, str]:
        """Of its head; of several of one name, the last."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}

    async def read(self) -> bytes:
        """Return the whole body.

        Raises
        ------
        httpx2.TransportError
            If it breaks off.
        """
        parts = [part async for part in self.parts()]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; at its end the connection is free for the next request.

        Raises
        ------
        httpx2.TransportError
            If it breaks off.
        """
        while self._connection is not None and (part := await self._connection.part()) is not None:
            yield part
        self.close()

    def close(self) -> None:
        """Give the connection back; one whose answer was not read to its end is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.on_close(connection)
