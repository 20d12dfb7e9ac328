"""A TCP proxy that stands for a network: it can be cut, stalled, slowed, or drop its connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

from beast_ml.errors import UnavailableError

__all__ = ["Network", "TcpProxy"]

Network = Literal["up", "cut", "stalled", "slow"]
"""Of a network: it works; nobody is reached, and connections end; bytes get lost in it; they take their time."""

_READ: Final = 1 << 16
_PATIENCE_S: Final = 10.0
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards connections at a port of this machine to a server, from a thread of its own.

    Parameters
    ----------
    upstream
        The server: (host, port), or the path of its Unix socket.
    port
        To listen at; 0: any that is free. It stays the same when the network is cut and mended.
    """

    def __init__(self, upstream: tuple[str, int] | Path, port: int = 0) -> None:
        self.port = port
        self._upstream = upstream
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._n_forgotten = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._run(self._set("up", 0.0))
        return self

    def set(self, network: Network, delay_s: float = 0.0) -> None:
        """Change what the network does from now on; ``slow`` holds what comes back and forth for so many seconds.

        Raises
        ------
        UnavailableError
            If the port is taken meanwhile.
        """
        self._run(self._set(network, delay_s))

    def reset(self) -> None:
        """End all connections with a reset, as a router does that forgot them; new ones are taken."""
        self._run(self._drop())

    def forget(self) -> None:
        """Lose all that is sent over the connections there are, for ever and without a word; new ones work.

        So does a firewall that was restarted, or whose patience with idle connections has ended.
        """
        self._run(self._forget())

    def stop(self) -> None:
        """End it."""
        if self._thread.is_alive():
            self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE_S)

    async def _set(self, network: Network, delay_s: float) -> None:
        self._delay_s = delay_s if network == "slow" else 0.0
        if network == "stalled":
            self._flowing.clear()
        else:
            self._flowing.set()
        if network == "cut":
            await self._unlisten()
            await self._drop()
        elif self._server is None:
            try:
                self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            except OSError as error:
                raise UnavailableError(f"the proxy cannot listen at port {self.port}: {error}") from error
            self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _drop(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _forget(self) -> None:
        self._n_forgotten += 1

    async def _close(self) -> None:
        await self._unlisten()
        await self._drop()
        pumps = list(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._upstream, Path):
                up_reader, up_writer = await asyncio.open_unix_connection(str(self._upstream))
            else:
                up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:  # the server is away: the client sees its connection end at once
            _reset(writer)
            return
        self._writers |= {writer, up_writer}
        for source, target in ((reader, up_writer), (up_reader, writer)):
            pump = asyncio.ensure_future(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        n_forgotten = self._n_forgotten
        try:
            with suppress(OSError):
                while data := await source.read(_READ):
                    if self._delay_s:
                        await asyncio.sleep(self._delay_s)
                    await self._flowing.wait()
                    if n_forgotten == self._n_forgotten:
                        target.write(data)
                        await target.drain()
        finally:
            self._writers.discard(target)
            target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, not with an orderly end."""
    with suppress(OSError):  # a Unix socket knows no such thing
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    writer.transport.abort()
