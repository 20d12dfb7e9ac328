"""What the application itself takes for a request: a worker's, called in its own process, without a socket.

python -m beast_ml.benchmarks.serving.application PLAN.json RESULT.json
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.errors import UnavailableError

__all__ = ["ApplicationPlan", "ApplicationTurn", "call_application", "in_application"]

_ROUTE: Final = "/v1/route"
_CHAT: Final = "/v1/chat/completions"
_KEY: Final = "FAKE_KEY"
_SECRET: Final = b"of no worth, but long enough"

Message = MutableMapping[str, Any]


class ApplicationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to call, and how often.

    Parameters
    ----------
    router, state
        Folders of the bundle, and of what the worker keeps.
    models, base_url
        Candidates, and the provider that all of them answer at.
    route, whole, streamed
        Files of bodies, one a line: for ``/v1/route``, and for chats that are answered whole and as streams.
    turns, calls
        How often each is measured, and of how many calls.
    """

    router: str
    state: str
    models: tuple[str, ...]
    base_url: str
    route: str
    whole: str
    streamed: str
    turns: int
    calls: int


class ApplicationTurn(msgspec.Struct, frozen=True, kw_only=True):
    """CPU microseconds of the process a call, all threads, each measured once, one after the other.

    Parameters
    ----------
    route
        Of a prompt that was decided before.
    hit, streamed
        Of a chat that is in memory.
    """

    route: float
    hit: float
    streamed: float


def in_application(plan: ApplicationPlan, folder: Path) -> tuple[ApplicationTurn, ...]:
    """Return the turns, measured in a process of their own.

    Raises
    ------
    UnavailableError
        If a call is not answered, or by something else than the memory.
    """
    told, found = folder / "application.json", folder / "application-result.json"
    told.write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, "-m", __name__, str(told), str(found)]
    environment = os.environ | {_KEY: "none", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if ended.returncode:
        raise UnavailableError(f"the application could not be called: {ended.stderr[-500:]}")
    return msgspec.json.decode(found.read_bytes(), type=tuple[ApplicationTurn, ...])


class _Caller:
    """Calls a worker's application as its HTTP server would."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def call(self, path: str, body: bytes) -> Message:
        """Return how the answer began."""
        began: list[Message] = []
        left = [body]

        async def receive() -> Message:
            if not left:
                await asyncio.Event().wait()  # the client does not hang up
            return {"type": "http.request", "body": left.pop(), "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                began.append(message)

        length = (b"content-length", b"%d" % len(body))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), length],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self._app(scope, receive, send)
        return began[0]

    async def cpu_us(self, path: str, bodies: Sequence[bytes], n_calls: int) -> float:
        """Return the CPU time of a call."""
        asked = list(islice(cycle(bodies), n_calls))
        before = time.process_time()
        for body in asked:
            await self.call(path, body)
        return (time.process_time() - before) * 1e6 / n_calls

    async def check(self, path: str, bodies: Sequence[bytes], *, hits: bool) -> None:
        """Ask each once, and then, where they should hit, whether they do."""
        for body in bodies:
            await self.call(path, body)
        for body in bodies:
            answer = await self.call(path, body)
            tier = dict(answer["headers"]).get(b"x-beast-cache-tier")
            if answer["status"] != 200 or (hits and tier != b"memory"):
                raise UnavailableError(f"{path} was answered with {answer['status']}, by the tier {tier!r}")


async def call_application(plan: ApplicationPlan) -> list[ApplicationTurn]:
    """Return the turns, measured in this process; see `in_application`.

    Raises
    ------
    UnavailableError
        If a call is not answered, or by something else than the memory.
    """
    from beast_ml.domain.endpoint import Endpoint
    from beast_ml.serving.answer_cache.config import AnswerCacheConfig
    from beast_ml.serving.app import App
    from beast_ml.serving.chores import HostChores
    from beast_ml.serving.services import BodyLimits
    from beast_ml.serving.worker import ServingConfig, Worker

    state = Path(plan.state)
    config = ServingConfig(
        router=plan.router,
        state=state,
        tracking_uri="sqlite:///nowhere.db",
        body=BodyLimits(1_000_000, 64),
        requests_per_s=None,
        prompts="keep",
        prompts_of={},
        sync_s=0.2,
        chores=HostChores(state / "locks" / "leader.lock", ()),
        open_without_keys=True,
        endpoints=tuple(Endpoint(f"fake-{each}", each, plan.base_url, api_key_env=_KEY) for each in plan.models),
        cache=AnswerCacheConfig(secret=_SECRET, state=state),
    )
    route, whole, streamed = (
        [line for line in Path(file).read_bytes().split(b"\n") if line]
        for file in (plan.route, plan.whole, plan.streamed)
    )
    worker = Worker(config)
    app = App(worker)
    async with worker.lifespan(None):
        caller = _Caller(app)
        await caller.check(_ROUTE, route, hits=False)
        for chats in (whole, streamed):
            await caller.check(_CHAT, chats, hits=True)
        return [
            ApplicationTurn(
                route=await caller.cpu_us(_ROUTE, route, plan.calls),
                hit=await caller.cpu_us(_CHAT, whole, plan.calls),
                streamed=await caller.cpu_us(_CHAT, streamed, plan.calls),
            )
            for _ in range(plan.turns)
        ]


if __name__ == "__main__":
    import uvloop

    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ApplicationPlan)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(uvloop.run(call_application(plan))))
