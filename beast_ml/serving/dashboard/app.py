"""The page over HTTP: one document, its figures as server-sent events, and the requests behind a point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beast_ml.serving.access import is_loopback_address
from beast_ml.serving.dashboard.feed import Feed
from beast_ml.serving.dashboard.sessions import COOKIE, Sessions
from beast_ml.serving.dashboard.traffic import RANGES, Filters

__all__ = ["dashboard_app"]

_PAGE: Final = Path(__file__).parent / "page"
_FILES: Final = {path.name: path for path in _PAGE.iterdir() if path.suffix in (".js", ".css", ".svg")}
_HEADERS: Final = {
    # Nothing is fetched from anywhere else, nothing inline is run, and no other page may frame this one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_GAPS_S: Final = {"totals": 0.1, "traffic": 0.25, "operations": 1.0}
_TICK_S: Final = 1.0
_SHARES: Final = {"totals": 1 / 4, "traffic": 1 / 9, "operations": 1 / 9}
"""Of a core, at most; what is not urgent takes less, for the totals wait for it."""
_WRONG_KEY_S: Final = 1.0


def dashboard_app(feed: Feed, *, loopback_only: bool) -> ASGIApp:
    """Return the application.

    Parameters
    ----------
    feed
        What is shown; it starts and stops with the application.
    loopback_only
        Whether it is bound to this machine: then other names of it are refused, which other sites could make up.
    """
    sessions = Sessions(feed.config.admin_key)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await feed.start()
        yield
        await feed.stop()

    def is_let_in(request: Request) -> bool:
        return not feed.needs_key or sessions.holds(request.cookies.get(COOKIE))

    async def page(request: Request) -> Response:
        return FileResponse(_PAGE / ("index.html" if is_let_in(request) else "login.html"))

    async def file(request: Request) -> Response:
        path = _FILES.get(request.path_params["name"])
        return Response(status_code=404) if path is None else FileResponse(path)

    async def login(request: Request) -> Response:
        form = (await request.body())[:4096].decode(errors="replace")
        token = sessions.begin(parse_qs(form).get("key", [""])[0])
        if token is None:
            await asyncio.sleep(_WRONG_KEY_S)
            return RedirectResponse("/?wrong", 303)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return answer

    async def events(request: Request) -> Response:
        if not is_let_in(request):
            return Response(status_code=401)
        filters = _filters(request)
        if filters is None:
            return Response("unknown filter", 422)
        return StreamingResponse(_stream(feed, filters), media_type="text/event-stream")

    async def requests(request: Request) -> Response:
        if not is_let_in(request):
            return Response(status_code=401)
        filters = _filters(request)
        try:
            from_s, until_s = (float(request.query_params[name]) for name in ("from_s", "until_s"))
        except (KeyError, ValueError):
            return Response("`from_s` and `until_s` must be numbers", 422)
        if filters is None:
            return Response("unknown filter", 422)
        chart = request.query_params.get("chart", "")
        found = await asyncio.to_thread(feed.requests, filters, chart, from_s, until_s)
        return Response(msgspec.json.encode(found), media_type="application/json")

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/page/{name}", file),
            Route("/login", login, methods=["POST"]),
            Route("/events", events),
            Route("/requests", requests),
        ],
        lifespan=lifespan,
    )
    return _Guarded(app, loopback_only)


class _Guarded:
    """Refuses names that are not this machine's where nobody else should come, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, loopback_only: bool) -> None:
        self._app, self._loopback_only = app, loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"")
        if self._loopback_only and not is_loopback_address(host):
            await Response("ask for 127.0.0.1 or localhost", 421)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_guarded)


def _filters(request: Request) -> Filters | None:
    names = Filters.__struct_fields__
    told = {name: request.query_params[name] for name in names if request.query_params.get(name)}
    filters = Filters(**told)
    return filters if filters.range in RANGES and filters.source in ("log", "metrics") else None


async def _stream(feed: Feed, filters: Filters) -> AsyncIterator[bytes]:
    """Yield figures as they change: totals at once, charts and operations a little later."""
    tellers: dict[str, Callable[[], Any]] = {
        "totals": lambda: feed.totals(filters),
        "traffic": lambda: feed.traffic(filters),
        "operations": feed.operations,
    }
    due_s = dict.fromkeys(tellers, 0.0)
    while True:
        seen, began_s = feed.versions[filters.source], time.monotonic()
        for name, figures in tellers.items():
            if began_s >= due_s[name]:
                event, used_s = await asyncio.to_thread(_event, name, figures)
                due_s[name] = time.monotonic() + max(_GAPS_S[name], (1 / _SHARES[name] - 1) * used_s)
                yield event
        await asyncio.sleep(max(due_s["totals"] - time.monotonic(), 0.0))
        # Figures of before may still be due, and time moves the window on even where nothing is new.
        await feed.change(filters.source, seen, max(min(due_s["traffic"], began_s + _TICK_S) - time.monotonic(), 0.0))


def _event(name: str, figures: Callable[[], Any]) -> tuple[bytes, float]:
    """Return a server-sent event, and the processor time that it took."""
    began_s = time.thread_time()
    event = b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(figures()))
    return event, time.thread_time() - began_s
