"""A streamed answer: events go through as they come; the last words are ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import ClassVar, Final

import httpx2
import msgspec

from beast_ml.errors import UnavailableError
from beast_ml.serving.gateway.accounting import Usage, estimated_usage
from beast_ml.serving.gateway.call import Call
from beast_ml.serving.gateway.connection import Answer
from beast_ml.serving.gateway.errors import error_body
from beast_ml.serving.gateway.failures import Failure, failure_of_answer, failure_of_error, provider_error
from beast_ml.serving.gateway.sse import DONE, ChunkReader, Event, EventSplitter, data_event

__all__ = ["StreamedAnswer", "opened_stream"]

_END_S: Final = 1.0
_MOST_KEPT_BYTES: Final = 4 << 20
"""Longer streams are nothing for a cache."""

Write = Callable[[bytes, bool], Awaitable[None]]
"""Sends bytes; the second argument says whether they are the last."""


class StreamedAnswer:
    """A stream whose first token is there.

    Parameters
    ----------
    call
        Whose answer it is.
    response
        The provider's.
    """

    _closing: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self, call: Call, response: Answer) -> None:
        self.headers: dict[str, str] = {}
        self._call = call
        self._response = response
        self._parts: AsyncIterator[bytes] = response.parts()
        self._splitter, self._reader = EventSplitter(), ChunkReader()
        self._held: list[bytes] = []
        self._seen: list[bytes] | None = [] if call.witness is not None and call.witness.keeps else None
        self._n_seen = 0
        self._usage: Usage | None = None
        self._finished = self._over = False

    async def open(self) -> Failure | None:
        """Read to the first token; a failure before it can still be made good elsewhere."""
        async for data in self._parts:
            if failure := self._take(data):
                return failure
            if self._call.n_characters or self._finished or self._over:
                self._call.first_token()
                self.headers = self._call.headers()
                return None
        return Failure("provider", "200, and a stream that ended before its first token", 200, may_cost=True)

    async def relay(self, write: Write) -> None:
        """Pass the stream on to its end; then settle and log.

        A client that hangs up cancels it: the provider's connection is closed at once.
        """
        call = self._call
        try:
            failure = await self._pass_on(write)
            if failure is None:
                usage = self._usage or estimated_usage(call.chat, call.n_characters)
                told = call.served(usage)
                comment = "".join(f": {name}: {value}\n" for name, value in told.items() if name.endswith("cost-usd"))
                await write((f"{comment}\n".encode() if comment else b"") + data_event(DONE), True)
                if self._seen is not None:
                    call.witnessed(self._seen)
            else:
                call.broke_off(failure)
                error = provider_error(failure, *call.who, len(call.attempts), " after a part of its answer")
                await write(data_event(error_body(error, call.plan.request_id)), True)
        except UnavailableError as error:  # the log cannot be written: the client must not take it for recorded
            await write(data_event(error_body(error, call.plan.request_id)), True)
        except BaseException:
            call.cancelled()
            raise
        finally:
            # To be used again a connection must be read to its end, which comes after the last word: not for clients
            # to wait for.
            closing = asyncio.ensure_future(self._close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self) -> None:
        with suppress(httpx2.HTTPError, TimeoutError):
            if self._over:
                async with asyncio.timeout(_END_S):
                    async for _ in self._parts:
                        pass
        self._response.close()

    async def _pass_on(self, write: Write) -> Failure | None:
        try:
            while not self._over:
                if self._held:
                    data, self._held = b"".join(self._held), []
                    await write(data, False)
                came = await anext(self._parts, None)
                if came is None:
                    break
                if failure := self._take(came):
                    return failure
            if self._held:
                await write(b"".join(self._held), False)
        except (httpx2.HTTPError, TimeoutError) as error:
            return failure_of_error(error)
        if self._over or self._finished:
            return None
        return Failure("provider", "the stream ended in the middle of the answer", may_cost=True)

    def _take(self, data: bytes) -> Failure | None:
        """Read what came; hold what is to be passed on."""
        try:
            for raw in self._splitter.feed(data):
                event = self._reader.read(raw)
                if event.error is not None:
                    told = failure_of_answer(500, {}, event.error)
                    return Failure(told.kind, f"said {told.said.partition(' ')[2]} in its stream", may_cost=True)
                self._note(event)
                if event.done:
                    break
                if self._seen is not None:
                    self._see(raw)
                if not event.only_usage or self._call.chat.wants_usage:
                    self._held.append(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            return Failure("provider", f"sent what is no chat stream: {error}", may_cost=True)
        return None

    def _see(self, raw: bytes) -> None:
        self._n_seen += len(raw)
        if self._n_seen > _MOST_KEPT_BYTES:
            self._seen = None
        elif self._seen is not None:
            self._seen.append(raw)

    def _note(self, event: Event) -> None:
        self._call.n_characters += event.n_characters
        self._usage = event.usage or self._usage
        self._finished = self._finished or event.finished
        self._over = self._over or event.done


async def opened_stream(call: Call, response: Answer) -> StreamedAnswer | Failure:
    """Return the stream once its first token is there, or why there is none."""
    stream = StreamedAnswer(call, response)
    return await stream.open() or stream
