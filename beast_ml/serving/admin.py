"""What operators ask of a running server, and what tenants ask about it."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from beast_ml.domain.money import usd
from beast_ml.errors import DataError, UnavailableError
from beast_ml.experiments.changes import ExperimentChange
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.experiments.kept_analyses import KeptAnalyses, read_analyses
from beast_ml.operations.budgets.rules import BudgetRule, BudgetStatus
from beast_ml.serving.payloads import ModelInfo, ModelList
from beast_ml.serving.runtime import RuntimeStatus
from beast_ml.serving.services import Services

__all__ = [
    "BudgetList",
    "BudgetRules",
    "ReloadAnswer",
    "list_analyses",
    "list_budgets",
    "list_experiments",
    "list_models",
    "put_experiment",
    "reload_router",
    "set_budgets",
]

_RELOAD_S: Final = 60.0
_STEP_S: Final = 0.05


class BudgetLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit on what may be spent; see `beast_ml.operations.budgets.rules.BudgetRule`.

    Parameters
    ----------
    scope
        For all (``global``), each ``tenant``, or each ``user`` of a tenant.
    limit_usd
        What would overspend it is refused.
    key
        The tenant; ``tenant/user`` or ``tenant/*``; ``*``: each one has this budget for itself. The narrowest
        holds.
    period
        UTC.
    soft_share
        The share of the limit from which on cheaper models are preferred, more and more.
    """

    scope: Literal["global", "tenant", "user"]
    limit_usd: Annotated[float, Meta(ge=0, le=1e9)]
    key: Annotated[str, Meta(min_length=1, max_length=256)] = "*"
    period: Literal["day", "month"] = "day"
    soft_share: Annotated[float, Meta(gt=0, le=1)] = 0.8

    def rule(self) -> BudgetRule:
        """Return it in exact money."""
        return BudgetRule.from_usd(**msgspec.structs.asdict(self))


class BudgetRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules that are to hold from now on.

    Parameters
    ----------
    rules
        What is not among them holds no longer.
    """

    rules: Annotated[list[BudgetLimit], Meta(max_length=10_000)]


class BudgetState(msgspec.Struct, frozen=True):
    """Where a budget stands in the period that runs; see `beast_ml.operations.budgets.rules.BudgetStatus`.

    Parameters
    ----------
    budget
        Its name, such as ``tenant:acme:day``.
    scope, key, period, limit_usd, soft_share
        As in its rule.
    spent_usd
        Settled.
    reserved_usd
        Upper amounts of requests in flight.
    lost_usd
        Upper amounts of requests that ended without telling what they cost: counted as spent until they do.
    left_usd
        What new requests may still reserve.
    resets_at
        When the next period begins.
    """

    budget: str
    scope: str
    key: str
    period: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    lost_usd: float
    left_usd: float
    soft_share: float
    resets_at: datetime

    @classmethod
    def of(cls, status: BudgetStatus) -> BudgetState:
        """Return it in dollars."""
        return cls(
            status.budget,
            status.scope,
            status.key,
            status.period,
            usd(status.limit_nano),
            usd(status.spent_nano),
            usd(status.reserved_nano),
            usd(status.lost_nano),
            usd(status.left_nano),
            status.soft_share,
            status.resets_at,
        )


class BudgetList(msgspec.Struct, frozen=True):
    """Where budgets stand.

    Parameters
    ----------
    budgets
        One entry a budget.
    """

    budgets: list[BudgetState]


class ReloadAnswer(msgspec.Struct, frozen=True):
    """What serves after a look at the registry.

    Parameters
    ----------
    router
        Version, how it came to serve, and what was refused.
    """

    router: RuntimeStatus


async def list_models(services: Services, _: None, __: str) -> ModelList:
    """Return the candidates, and which of them may be called now."""
    masked = services.health.masked_models()
    endpoints: dict[str, list[str]] = {}
    for each in services.health.endpoints:
        endpoints.setdefault(each.model, []).append(each.name)
    return ModelList(
        [
            ModelInfo(name, available=name not in masked, endpoints=tuple(endpoints.get(name, ())))
            for name in services.runtime.router.models
        ]
    )


async def list_budgets(services: Services, _: None, tenant: str) -> BudgetList:
    """Return a tenant's budgets."""
    budgets = services.budgets
    return BudgetList([] if budgets is None else [BudgetState.of(each) for each in await budgets.fresh_status(tenant)])


async def set_budgets(services: Services, body: BudgetRules, _: str) -> BudgetList:
    """Replace the rules on all workers."""
    if services.budgets is None:
        raise UnavailableError("this worker keeps no budgets: start the server again")
    await services.budgets.set_rules([limit.rule() for limit in body.rules])
    return BudgetList([BudgetState.of(each) for each in services.budgets.status(None)])


async def list_experiments(services: Services, _: None, __: str) -> Experiments:
    """Return all experiments."""
    return services.experiments.experiments


async def list_analyses(services: Services, _: None, __: str) -> KeptAnalyses:
    """Return the last analyses, as a process beside the workers left them."""
    try:
        return await asyncio.to_thread(read_analyses, services.analyses)
    except DataError as error:  # a file of ours: no mistake of who asks
        raise UnavailableError(str(error)) from error


async def put_experiment(services: Services, body: ExperimentChange, _: str) -> Experiments:
    """Add one, or change of one what is given; workers follow within a second."""
    wanted = body.applied_to(services.experiments.experiments.get(body.id))
    if wanted.status == "running":
        services.runtime.check_can_follow({each.policy for each in wanted.variants} | {wanted.shadow or "champion"})
    services.experiments.change(body)
    services.follow_experiments()
    return services.experiments.experiments


async def reload_router(services: Services, _: None, __: str) -> ReloadAnswer:
    """Ask for a look at the registry, and wait until this worker serves what it points at, or has refused it."""
    runtime = services.runtime
    runtime.ask_to_reload()
    asked_at, deadline = time.time(), time.monotonic() + _RELOAD_S
    while time.monotonic() < deadline:
        if runtime.is_current(asked_at):
            return ReloadAnswer(runtime.status())
        await asyncio.sleep(_STEP_S)
    raise UnavailableError(
        f"the registry did not answer within {_RELOAD_S:g} s ({runtime.status().registry_error or 'no error yet'}): "
        "the router goes on as it is; look at the registry, and ask again"
    )
