"""A TCP link between two places on one machine that can be made long, cut, and mended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

__all__ = ["NetworkLink"]

_PIECE_BYTES: Final = 1 << 16


class NetworkLink:
    """Passes on what comes to ``port`` on 127.0.0.1; a context manager.

    While it is cut nothing arrives and nobody is told, as when packets are lost: what was sent meanwhile comes when it
    is mended, if its sender still waits for that.

    Parameters
    ----------
    to
        Where to: host and port, or the path of a Unix socket.
    delay_s
        Of each direction.
    """

    def __init__(self, to: tuple[str, int] | str, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.port = 0
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._whole = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> NetworkLink:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Let nothing through."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let all through again."""
        self._loop.call_soon_threadsafe(self._whole.set)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._whole.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a server's callback is one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._whole.wait()
            there, back = await self._connect()
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):  # a server wants to know how its callbacks ended, and this is no end
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, back))
                group.create_task(self._pass_on(there, writer))
        writer.close()
        back.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._to, str):
            return await asyncio.open_unix_connection(self._to)
        return await asyncio.open_connection(*self._to)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                at, piece = await pieces.get()
                await asyncio.sleep(max(0.0, at - self._loop.time()))
                await self._whole.wait()
                if not piece:
                    writer.close()
                    return
                writer.write(piece)
                await writer.drain()

        with suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(deliver())
                piece = b"?"
                while piece:
                    piece = await reader.read(_PIECE_BYTES)
                    pieces.put_nowait((self._loop.time() + self.delay_s, piece))
