"""The HTTP API as a table: path, what comes in, what goes out, who may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from beast_ml.experiments.changes import ExperimentChange
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.experiments.kept_analyses import KeptAnalyses
from beast_ml.operations.explicit_feedback import FeedbackReport
from beast_ml.serving.admin import (
    BudgetList,
    BudgetRules,
    ReloadAnswer,
    list_analyses,
    list_budgets,
    list_experiments,
    list_models,
    put_experiment,
    reload_router,
    set_budgets,
)
from beast_ml.serving.cache_api import invalidate_cached, look_up_cached, store_cached
from beast_ml.serving.cache_bodies import (
    CacheInvalidation,
    CacheLookup,
    CacheQuestion,
    CacheStore,
    Invalidated,
    Stored,
)
from beast_ml.serving.cache_stats import CacheFigures, cache_figures
from beast_ml.serving.payloads import (
    BatchAnswer,
    BatchRequest,
    Estimate,
    ModelList,
    OutcomeReport,
    Recorded,
    RouteAnswer,
    RouteRequest,
)
from beast_ml.serving.routing_service import RoutingService
from beast_ml.serving.services import Services

__all__ = ["OPERATIONS", "ROUTE", "Operation"]

Handler = Callable[[Services, Any, str], Awaitable[Any]]


class Operation(msgspec.Struct, frozen=True):
    """One endpoint that speaks JSON.

    Parameters
    ----------
    method, path
        Of the request.
    takes, gives
        Types of the bodies; None: no body.
    handle
        ``(services, body, tenant) -> answer``.
    summary
        One line for people.
    auth
        Whose key it asks for.
    tag
        Its group in the documentation.
    statuses
        What it answers beside 200 and what every operation answers (400, 401, 403, 413, 422, 429, 500, 503).
    """

    method: Literal["GET", "POST"]
    path: str
    takes: Any
    gives: Any
    handle: Handler
    summary: str
    auth: Literal["tenant", "admin"] = "tenant"
    tag: str = "routing"
    statuses: tuple[int, ...] = ()


async def _route(services: Services, body: RouteRequest, tenant: str) -> RouteAnswer:
    return await RoutingService(services).route(body, tenant, services.ids.issue(tenant))


async def _route_batch(services: Services, body: BatchRequest, tenant: str) -> BatchAnswer:
    ids = [services.ids.issue(tenant) for _ in body.requests]
    return await RoutingService(services).route_many(body.requests, tenant, ids)


async def _estimate(services: Services, body: RouteRequest, tenant: str) -> Estimate:
    return RoutingService(services).estimate(body, tenant)


async def _outcomes(services: Services, body: OutcomeReport | list[OutcomeReport], tenant: str) -> Recorded:
    return RoutingService(services).outcomes(body if isinstance(body, list) else [body], tenant)


async def _feedback(services: Services, body: FeedbackReport | list[FeedbackReport], tenant: str) -> Recorded:
    return RoutingService(services).feedback(body if isinstance(body, list) else [body], tenant)


ROUTE = Operation(
    "POST", "/v1/route", RouteRequest, RouteAnswer, _route, "Decide which model answers a request.", statuses=(402, 404)
)
"""`POST /v1/route`, which is served on bare ASGI."""

OPERATIONS: tuple[Operation, ...] = (
    ROUTE,
    Operation(
        "POST", "/v1/route/batch", BatchRequest, BatchAnswer, _route_batch, "Decide for many requests.", statuses=(404,)
    ),
    Operation(
        "POST",
        "/v1/estimate",
        RouteRequest,
        Estimate,
        _estimate,
        "Say what each candidate would cost, before the request.",
        statuses=(404,),
    ),
    Operation(
        "POST",
        "/v1/outcomes",
        OutcomeReport | list[OutcomeReport],
        Recorded,
        _outcomes,
        "Tell what became of routed requests.",
        tag="learning",
    ),
    Operation(
        "POST",
        "/v1/feedback",
        FeedbackReport | list[FeedbackReport],
        Recorded,
        _feedback,
        "Tell how good answers were.",
        tag="learning",
    ),
    Operation(
        "POST",
        "/v1/cache/lookup",
        CacheQuestion,
        CacheLookup,
        look_up_cached,
        "Look whether a request was answered before.",
        tag="cache",
    ),
    Operation("POST", "/v1/cache/store", CacheStore, Stored, store_cached, "Keep an answer.", tag="cache"),
    Operation(
        "POST",
        "/v1/cache/invalidate",
        CacheInvalidation,
        Invalidated,
        invalidate_cached,
        "Serve some answers no more, or one never again to a request.",
        tag="cache",
    ),
    Operation(
        "GET",
        "/v1/cache/stats",
        None,
        CacheFigures,
        cache_figures,
        "Say what the cache of this host has done, and who has what in it.",
        auth="admin",
        tag="cache",
        statuses=(422,),
    ),
    Operation("GET", "/v1/models", None, ModelList, list_models, "List the candidate models.", tag="operation"),
    Operation("GET", "/v1/budgets", None, BudgetList, list_budgets, "Show your budgets.", tag="operation"),
    Operation(
        "POST",
        "/v1/admin/reload",
        None,
        ReloadAnswer,
        reload_router,
        "Look at the registry now, and serve what it points at.",
        auth="admin",
        tag="admin",
    ),
    Operation(
        "POST",
        "/v1/admin/budgets",
        BudgetRules,
        BudgetList,
        set_budgets,
        "Replace the budgets' rules.",
        auth="admin",
        tag="admin",
    ),
    Operation(
        "GET",
        "/v1/admin/experiments",
        None,
        Experiments,
        list_experiments,
        "List the experiments.",
        auth="admin",
        tag="admin",
    ),
    Operation(
        "POST",
        "/v1/admin/experiments",
        ExperimentChange,
        Experiments,
        put_experiment,
        "Start an experiment, or change or stop one: what is left out stays as it is.",
        auth="admin",
        tag="admin",
    ),
    Operation(
        "GET",
        "/v1/admin/experiments/analyses",
        None,
        KeptAnalyses,
        list_analyses,
        "Say what the experiments have shown so far; analysed after each compaction of the log.",
        auth="admin",
        tag="admin",
    ),
)
"""Every endpoint that speaks JSON both ways; chat completions, health, metrics and OpenAPI stand beside it."""
