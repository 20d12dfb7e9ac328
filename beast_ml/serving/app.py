"""The ASGI application: the path that decides is bare ASGI, everything else is Starlette's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beast_ml.errors import BeastError, ForbiddenError, UnavailableError
from beast_ml.serving.access import is_loopback_address
from beast_ml.serving.api import OPERATIONS, ROUTE, Operation
from beast_ml.serving.gateway.chat_completions import PATH as CHAT_PATH
from beast_ml.serving.gateway.chat_completions import ChatCompletions
from beast_ml.serving.http_body import (
    BodyTooLargeError,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    bearer,
    read_body,
    respond,
)
from beast_ml.serving.json_limits import check_body
from beast_ml.serving.probes import probe_routes
from beast_ml.serving.problems import PROBLEM_JSON, Problem, problem_of
from beast_ml.serving.services import Services
from beast_ml.serving.worker import Worker

__all__ = ["App", "JsonEndpoint", "answer_error"]

_LOGGER: Final = logging.getLogger("beast_ml.serving")


_FOREIGN: Final = (
    "this server needs no key and therefore serves its own machine only, not pages of other sites: make a key "
    "(`beast keys create TENANT`) and send it"
)


class JsonEndpoint:
    """One operation of the table as an ASGI application.

    Parameters
    ----------
    operation
        What it does.
    services
        Returns the worker's parts, once they are there.
    """

    def __init__(self, operation: Operation, services: Callable[[], Services]) -> None:
        self._operation = operation
        self._services = services
        self._decode = None if operation.takes is None else msgspec.json.Decoder(operation.takes).decode
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever happens is answered."""
        began, tenant, status = time.perf_counter(), None, 200
        try:
            services = self._services()
            key = bearer(scope)
            if self._operation.auth == "admin":
                services.access.check_admin(key)
            else:
                tenant = services.access.tenant(key)
            body = None
            if self._decode is not None:
                raw = await read_body(scope, receive, services.limits.max_bytes)
                check_body(raw, services.limits.max_depth)
                body = self._decode(raw)
            answer = await self._operation.handle(services, body, tenant or "")
            await respond(send, 200, self._encode(answer))
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001  the edge of the process: a client always gets an answer
            status = await answer_error(send, error, self._operation.path)
        with suppress(UnavailableError):  # while starting there is nobody to count
            self._services().metrics.request(self._operation.path, status, time.perf_counter() - began, tenant)


async def answer_error(send: Send, error: Exception, path: str) -> int:
    """Answer with a problem and return its status; what is not the client's doing is logged with its trace."""
    if not isinstance(error, BeastError | msgspec.MsgspecError | UnicodeDecodeError):
        _LOGGER.error("an error of ours on %s", path, exc_info=error)
    problem, headers = problem_of(error)
    if isinstance(error, BodyTooLargeError):
        problem = msgspec.structs.replace(problem, title="Too large", status=413)
    await respond(send, problem.status, problem.body(), PROBLEM_JSON, headers)
    return problem.status


class App:
    """The whole application of a worker.

    Parameters
    ----------
    worker
        Whose parts serve; it starts and stops with the application.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._route = JsonEndpoint(ROUTE, self._services)
        self._chat = ChatCompletions(self._services)
        table: list[BaseRoute] = [
            Route(operation.path, JsonEndpoint(operation, self._services), methods=[operation.method])
            for operation in OPERATIONS
        ]
        table.append(Route(CHAT_PATH, self._chat, methods=["POST"]))  # for the answer to other methods
        self._rest = Starlette(
            routes=[
                *table,
                Route(CHAT_PATH, self._chat, methods=["POST"]),
                *probe_routes(worker),
            ],
            lifespan=worker.lifespan,
            exception_handlers={HTTPException: _http_problem},
        )

    def drain(self) -> None:
        """Ask clients to connect anew from now on; see `beast_ml.serving.supervisor`."""
        self._worker.drain()

    def _services(self) -> Services:
        return self._worker.services

    def _is_foreign(self, scope: Scope) -> bool:
        """Return whether a page of another site asks a server that needs no key: it would spend its user's money."""
        worker = self._worker
        if not (worker.is_started and worker.services.access.is_open):
            return False
        for name, value in scope["headers"]:
            if name == b"host" and not is_loopback_address(value):
                return True
            if name == b"origin" and not is_loopback_address(value.rpartition(b"/")[2]):
                return True
        return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        if self._worker.draining:
            send = _closing(send)
        if self._is_foreign(scope):
            await answer_error(send, ForbiddenError(_FOREIGN), scope["path"])
            return
        if scope["path"] == ROUTE.path and scope["method"] == "POST":
            await self._route(scope, receive, send)
        elif scope["path"] == CHAT_PATH and scope["method"] == "POST":
            await self._chat(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _closing(send: Send) -> Send:
    """Ask the client to connect anew: this worker is about to go."""

    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return wrapped


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for these alone
    path = request.url.path
    detail = {
        404: f"nothing is served at {path}: GET /openapi.json lists what is",
        405: f"{request.method} is not for {path}: GET /openapi.json says what is",
    }.get(error.status_code, error.detail)
    kind = "not_found" if error.status_code == 404 else "invalid_request"
    problem = Problem(error.detail, error.status_code, detail, kind)
    headers = {"content-type": PROBLEM_JSON.decode(), **(error.headers or {})}
    return Response(problem.body(), error.status_code, headers)
