"""What an exact hit in a worker's memory costs, beside what HTTP costs, and what HTTP, key and log cost: CPU time.

Three servers, or routes, answer in turns: a bare ASGI echo of the chats; one worker that decides the same prompts again
(`/v1/route`, its cheapest route that takes a body, knows the tenant, reads JSON and writes a row of the log); and the
same worker that answers the chats out of its memory, whole and as streams. A hit less the echo is all that is not
common to both, HTTP of headers and cold caches included; a hit less the route is what the cache costs more, or less,
than a decision. What of it is ours, the application, is called in a process of its own, without a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.benchmarks.serving.application import ApplicationPlan, ApplicationTurn, in_application
from beast_ml.benchmarks.serving.cases import Effort, Spread, spread
from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.gateway_part import provider, with_endpoints
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import chats, routes, varied, write_bodies
from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.benchmarks.serving.subjects import echo
from beast_ml.cache.entry import CacheKey
from beast_ml.cache.key import KeyMaker
from beast_ml.cache.request import CacheRequest
from beast_ml.errors import UnavailableError
from beast_ml.serving.router import Router

__all__ = ["CACHE", "HitResult", "HitTurn", "cacheable", "measure_hits"]

_PATH: Final = "/v1/chat/completions"
_N_PROMPTS: Final = 200
_CONNECTIONS: Final = 16
_APPLICATION_TURNS: Final = 5
_APPLICATION_CALLS: Final = 2_000
CACHE: Final = {"BEAST_CACHE__ENABLED": "true", "BEAST_CACHE__SECRET": "of no worth, but long enough"}
"""What switches the cache on."""


class HitTurn(msgspec.Struct, frozen=True, kw_only=True):
    """CPU microseconds of the worker a request, each measured once, one after the other.

    Parameters
    ----------
    echo
        A bare ASGI application that sends the chat back.
    route
        The worker, asked to decide a prompt that it has decided before.
    hit, streamed
        The worker, asked what is in its memory.
    """

    echo: float
    route: float
    hit: float
    streamed: float


class HitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Parameters
    ----------
    turns
        Each measurement.
    application
        The same calls without HTTP.
    provider_cpu_s
        CPU seconds of the provider while all this was measured: hardly any, or they were no hits.
    """

    turns: tuple[HitTurn, ...]
    application: tuple[ApplicationTurn, ...]
    provider_cpu_s: float

    def of_application(self, what: Callable[[ApplicationTurn], float]) -> Spread:
        """Return a figure of the application over its turns."""
        return spread([what(turn) for turn in self.application])

    def of(self, what: Callable[[HitTurn], float]) -> Spread:
        """Return a figure over the turns."""
        return spread([what(turn) for turn in self.turns])


def measure_hits(bundle: Path, base: Sequence[str], effort: Effort, cores: Sequence[int], folder: Path) -> HitResult:
    """Return what a hit costs.

    Raises
    ------
    InputError, UnavailableError
        If a server or the generator fails, or a request is not answered.
    """
    prompts = list(islice(cacheable(varied(base, 100 * _N_PROMPTS)), _N_PROMPTS))
    write_bodies(folder / "route.jsonl", routes(prompts))
    for name, stream in (("whole", False), ("streamed", True)):
        write_bodies(folder / f"{name}.jsonl", chats(prompts, "beast", stream=stream))
    driver, port = Driver(folder, cores[1:] or cores), free_port()
    subject = with_endpoints(bundle, port)
    subject = replace(subject, environment={**subject.environment, **CACHE})
    with ExitStack() as started:
        called = started.enter_context(provider().start(folder, cores=cores[1:] or cores, port=port))
        worker = started.enter_context(subject.start(folder, cores=cores[:1]))
        bare = started.enter_context(echo().start(folder, cores=cores[:1]))

        def cpu_us(server: ServerProcess, path: str, bodies: str, effort: Effort = effort) -> float:
            plan = LoadPlan(
                port=server.port,
                path=path,
                bodies=str(folder / f"{bodies}.jsonl"),
                repeat=True,
                connections=_CONNECTIONS,
                warm_s=effort.warm_s,
                measure_s=effort.seconds,
            )
            found = driver.drive(server, plan)
            if found.load.failed:
                raise UnavailableError(f"{found.load.failed} requests of {path} were not answered with 2xx")
            return found.worker_cpu_us

        cpu_us(worker, _PATH, "whole", replace(effort, warm_s=0.0))  # fills the cache
        before = _cpu_s(called)
        turns = tuple(
            HitTurn(
                echo=cpu_us(bare, "/", "whole"),
                route=cpu_us(worker, "/v1/route", "route"),
                hit=cpu_us(worker, _PATH, "whole"),
                streamed=cpu_us(worker, _PATH, "streamed"),
            )
            for _ in range(effort.repeats)
        )
        plan = ApplicationPlan(
            router=str(bundle),
            state=str(folder / "application"),
            models=tuple(Router.load(bundle).models),
            base_url=f"http://127.0.0.1:{port}/v1",
            route=str(folder / "route.jsonl"),
            whole=str(folder / "whole.jsonl"),
            streamed=str(folder / "streamed.jsonl"),
            turns=_APPLICATION_TURNS * effort.repeats,
            calls=_APPLICATION_CALLS,
        )
        spent = _cpu_s(called) - before
        return HitResult(turns=turns, application=in_application(plan, folder), provider_cpu_s=spent)


def _cpu_s(server: ServerProcess) -> float:
    return sum(usage.cpu_s for usage in server.usage().values())


def cacheable(prompts: Iterable[str]) -> Iterator[str]:
    """Yield those prompts whose answers a cache may keep."""
    keys = KeyMaker(b"only to tell which of them are for a cache")
    for prompt in prompts:
        if isinstance(keys.full(CacheRequest.of_prompt("", prompt)), CacheKey):
            yield prompt
