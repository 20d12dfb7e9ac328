"""How requests get to providers: kept connections, on which the openai SDK's clients and the gateway both send.

A general HTTP client takes five to ten times as long for a call (``tests/benchmarks/gateway_overhead.py``), more than
all else that the gateway does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import aiohappyeyeballs
import httpx2

from beast_ml.serving.gateway.addresses import allowed
from beast_ml.serving.gateway.connection import Answer, Connection

__all__ = ["Origin", "Patience", "ProviderTransport", "origin_of", "request_head"]

_MOST_OPEN: Final = 1000
_MOST_IDLE: Final = 100
_IDLE_S: Final = 15.0
_SECOND_ADDRESS_S: Final = 0.25
_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Who is connected to.

    Parameters
    ----------
    host, port, tls
        Where, and whether it is encrypted.
    has_key
        Whether a key is sent there.
    """

    host: str
    port: int
    tls: bool
    has_key: bool


class Patience(NamedTuple):
    """Seconds that a connection may take, and the answer's head and each next part of it.

    Parameters
    ----------
    connect_s, read_s
        In this order.
    """

    connect_s: float
    read_s: float


def origin_of(url: httpx2.URL, *, has_key: bool) -> Origin:
    """Return who serves an address, to whom a key is sent or not."""
    return Origin(url.host, url.port or _PORTS[url.scheme], url.scheme == "https", has_key)


def request_head(method: str, url: httpx2.URL, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request, as far as the value of its ``content-length``, which ends it.

    Raises
    ------
    httpx2.LocalProtocolError
        If a header has a line break, or what no header has.
    """
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), url.raw_path)]
    if all(name.lower() != b"host" for name, _ in headers):
        lines.append(b"host: " + url.netloc)
    for name, value in headers:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            continue
        if not name or any(character in name + value for character in b"\r\n\0"):
            raise httpx2.LocalProtocolError(f"the header {name.decode('latin-1')!r} holds a line break")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"content-length: "])


class ProviderTransport(httpx2.AsyncBaseTransport):
    """Sends requests on connections that it keeps."""

    def __init__(self) -> None:
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def send(self, origin: Origin, head: bytes, body: bytes, patience: Patience) -> Answer:
        """Send a request; return the head of its answer, which whoever gets it closes.

        Parameters
        ----------
        head
            Of `request_head`.

        Raises
        ------
        httpx2.TransportError
            If there is no answer: `httpx2.ConnectError` or `httpx2.ConnectTimeout` where nothing was sent.
        """
        connection = self._kept(origin) or await self._connected(origin, patience.connect_s)
        try:
            answer = await connection.ask(b"%b%d\r\n\r\n%b" % (head, len(body), body), patience.read_s)
        except BaseException:
            self._drop(connection)
            raise
        answer.on_close = lambda free: self._give_back(origin, free)
        return answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request of the SDK's client."""
        timeout = request.extensions.get("timeout", {})
        patience = Patience(timeout.get("connect") or 60.0, timeout.get("read") or 60.0)
        head = request_head(request.method, request.url, request.headers.raw)
        origin = origin_of(request.url, has_key="authorization" in request.headers)
        answer = await self.send(origin, head, await request.aread(), patience)
        return httpx2.Response(answer.status_code, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _kept(self, origin: Origin) -> Connection | None:
        """Return a connection that was used last, so that those not needed any more grow old."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable and asyncio.get_running_loop().time() - connection.idle_since < _IDLE_S:
                return connection
            self._drop(connection)
        return None

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        if not connection.usable or connection not in self._open:
            self._drop(connection)
            return
        connection.idle_since = asyncio.get_running_loop().time()
        idle = self._idle.setdefault(origin, deque())
        idle.append(connection)
        if len(idle) > _MOST_IDLE:
            self._drop(idle.popleft())

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)

    def _lost(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(origin, ())
        if connection in idle:
            self._idle[origin].remove(connection)

    async def _connected(self, origin: Origin, connect_s: float) -> Connection:
        if len(self._open) >= _MOST_OPEN:
            raise httpx2.ConnectError(f"{_MOST_OPEN} calls of providers are on their way, which is the most")
        try:
            async with asyncio.timeout(connect_s):
                connection = await self._connect(origin)
        except TimeoutError:
            raise httpx2.ConnectTimeout(f"no connection to {origin.host} in {connect_s:g} s") from None
        except OSError as error:  # ssl.SSLError is one
            raise httpx2.ConnectError(_without_address(error)) from error
        self._open.add(connection)
        return connection

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        addresses = allowed(addresses, origin.host, in_clear_with_key=origin.has_key and not origin.tls)
        made = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_SECOND_ADDRESS_S, loop=loop)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(lambda lost: self._lost(origin, lost)),
                sock=made,
                ssl=self._tls_context() if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:
            made.close()
            raise
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx2.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, for the SDK."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.parts()

    async def aclose(self) -> None:
        self._answer.close()


def _without_address(error: OSError) -> str:
    """Return why there is no connection; tenants read it, and where endpoints are is none of their business."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return os.strerror(error.errno) if error.errno else "none of its addresses answers"
