"""What load balancers, Prometheus and readers of the API ask: health, readiness, metrics, OpenAPI."""

from __future__ import annotations

import asyncio
from functools import cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from beast_ml.errors import ServingError, UnavailableError
from beast_ml.serving.api import OPERATIONS
from beast_ml.serving.http_body import bearer
from beast_ml.serving.openapi import openapi_document
from beast_ml.serving.problems import PROBLEM_JSON, problem_of
from beast_ml.serving.runtime import RuntimeStatus
from beast_ml.serving.worker import Worker

__all__ = ["Readiness", "probe_routes"]


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests should be sent here, and what there is to know when not.

    Parameters
    ----------
    ready
        False while starting and while draining.
    reason
        Why not.
    router
        What serves.
    models_out
        Candidates that may not be called now.
    """

    ready: bool
    reason: str | None
    router: RuntimeStatus | None = None
    models_out: tuple[str, ...] = ()


def probe_routes(worker: Worker) -> list[BaseRoute]:
    """Return the routes."""

    async def healthz(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        readiness = _readiness(worker)
        if not _may_know(worker, request):
            readiness = Readiness(readiness.ready, readiness.reason)
        return Response(msgspec.json.encode(readiness), 200 if readiness.ready else 503, media_type="application/json")

    async def metrics(request: Request) -> Response:
        try:
            parts = worker.services
            if not parts.access.is_open:
                parts.access.check_admin(bearer(request.scope))
            text = await asyncio.to_thread(parts.metrics.render)
        except Exception as error:  # noqa: BLE001  the edge of the process, as of every endpoint
            problem, headers = problem_of(error)
            return Response(problem.body(), problem.status, {**headers, "content-type": PROBLEM_JSON.decode()})
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(_: Request) -> Response:
        return Response(_openapi(), media_type="application/json")

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
    ]


def _may_know(worker: Worker, request: Request) -> bool:
    """Return whether an asker is told more than load balancers need: paths, versions, what is out."""
    if not worker.is_started or worker.services.access.is_open:
        return True
    try:
        worker.services.access.check_admin(bearer(request.scope))
    except ServingError:
        return False
    return True


def _readiness(worker: Worker) -> Readiness:
    try:
        parts = worker.services
    except UnavailableError as error:
        return Readiness(False, str(error))
    status, out = parts.runtime.status(), tuple(sorted(parts.health.masked_models()))
    if worker.draining:
        return Readiness(False, "draining: the server was told to stop", status, out)
    return Readiness(True, None, status, out)


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(openapi_document(OPERATIONS))
