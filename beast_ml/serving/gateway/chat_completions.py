"""``POST /v1/chat/completions``: the gateway over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from beast_ml.errors import UnavailableError
from beast_ml.serving.gateway.chat_request import ChatRequest, decode_chat
from beast_ml.serving.gateway.contract import WholeAnswer
from beast_ml.serving.gateway.errors import error_answer
from beast_ml.serving.gateway.refused_chats import log_refused_chat
from beast_ml.serving.http_body import ClientGoneError, Receive, Scope, Send, bearer, read_body, respond
from beast_ml.serving.json_limits import check_body
from beast_ml.serving.problems import PROBLEM_JSON
from beast_ml.serving.services import Services

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.asked import Asked

__all__ = ["PATH", "ChatCompletions"]

PATH: Final = "/v1/chat/completions"
"""Where OpenAI's clients ask."""

_CLIENT_GONE: Final = 499


class ChatCompletions:
    """The endpoint as an ASGI application.

    Parameters
    ----------
    services
        Returns the worker's parts, once they are there.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever happens is answered."""
        began, tenant, request_id, status = time.perf_counter(), None, None, 200
        asked: Asked | None = None
        started = _Started(send)
        try:
            services = self._services()
            tenant = services.access.tenant(bearer(scope))
            raw = await read_body(scope, receive, services.limits.max_bytes)
            decode = partial(_decoded, services.limits.max_depth)
            chat = decode(raw) if services.cache is None else services.cache.bodies.chat(raw, decode)
            request_id = services.ids.issue(tenant, "chat")
            gateway = services.gateway
            if gateway is None:
                refusal = UnavailableError(
                    "this server only decides: to have it call models, name their `endpoints` in mlflow.yaml"
                )
                log_refused_chat(services, chat, tenant, request_id, refusal)
                raise refusal
            if services.cache is None:
                await _unless_gone(receive, _serve(gateway.answer(chat, tenant, request_id), started))
            else:
                asked = services.cache.ask(chat, raw, tenant, request_id, scope["headers"])
                found = services.cache.at_once(asked)
                if found is not None:
                    await _send(found, started)
                else:
                    make = partial(gateway.answer, chat, tenant, request_id)
                    await _unless_gone(receive, _serve(services.cache.answer(asked, make), started))
        except ClientGoneError:
            status = _CLIENT_GONE
        except Exception as error:  # noqa: BLE001  the edge of the process: a client always gets an answer
            status, body, headers = error_answer(error, request_id)
            if not started.yes:
                if request_id is not None:
                    headers = {**headers, "x-beast-request-id": request_id}
                if asked is not None:
                    headers = {**headers, **asked.told}
                await respond(send, status, body, PROBLEM_JSON, headers)
        with suppress(UnavailableError):  # while starting there is nobody to count
            self._services().metrics.request(PATH, status, time.perf_counter() - began, tenant)


def _decoded(max_depth: int, raw: bytes) -> ChatRequest:
    check_body(raw, max_depth)
    return decode_chat(raw)


class _Started:
    """Sends, and knows whether anything was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.yes = False

    async def __call__(self, message: Any) -> None:
        self.yes = True
        await self._send(message)


async def _serve(answering: Coroutine[Any, Any, Any], send: Send) -> None:
    await _send(await answering, send)


async def _send(answer: Any, send: Send) -> None:
    if isinstance(answer, WholeAnswer):
        await respond(send, 200, answer.body, headers=answer.headers)
        return
    fields = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    fields += [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    began = False

    async def write(data: bytes, last: bool) -> None:
        nonlocal began
        if not began:
            began = True
            await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": data, "more_body": not last})

    await answer.relay(write)


async def _unless_gone(receive: Receive, serving: Coroutine[Any, Any, None]) -> None:
    """Serve, but stop as soon as the client hangs up.

    Raises
    ------
    ClientGoneError
        If it did.
    """
    work = asyncio.current_task()
    assert work is not None  # noqa: S101  coroutines run in tasks
    hung_up = False

    def stop(watch: asyncio.Task[None]) -> None:
        nonlocal hung_up
        if not watch.cancelled():
            hung_up = True
            work.cancel()

    watch = asyncio.ensure_future(_hung_up(receive))
    watch.add_done_callback(stop)
    try:
        await serving
    except asyncio.CancelledError:
        if hung_up and work.uncancel() == 0:  # else the server itself is being stopped
            raise ClientGoneError from None
        raise
    finally:
        watch.remove_done_callback(stop)
        watch.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
