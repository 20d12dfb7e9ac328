"""The gateway of a serving worker: plans come from its router, rows go to its log, money to its budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace as replace_fields

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint, ModelLimits
from beast_ml.errors import InputError, UnavailableError, UnknownModelError
from beast_ml.logs.schema import ATTEMPT_ENDPOINTS
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.serving.decider import Decision
from beast_ml.serving.gateway.accounting import expected_output_tokens
from beast_ml.serving.gateway.chat_request import ROUTED, ChatRequest
from beast_ml.serving.gateway.contract import CallRecord, Plan
from beast_ml.serving.gateway.gateway import Gateway
from beast_ml.serving.gateway.parts import GatewayParts, Patience
from beast_ml.serving.gateway.provider import Providers
from beast_ml.serving.gateway.refused_chats import log_refused_chat, route_request_of
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.prompts import routed_text
from beast_ml.serving.request_log import Attempt
from beast_ml.serving.router import Router
from beast_ml.serving.routing_service import RoutingService
from beast_ml.serving.services import Services

__all__ = ["RouterPlanner", "WorkerJournal", "open_gateway"]


def open_gateway(
    services: Services,
    endpoints: Iterable[Endpoint],
    environment: Mapping[str, str],
    *,
    prices: Mapping[str, Price] | None = None,
    limits: Mapping[str, ModelLimits] | None = None,
    patience: Patience | None = None,
) -> Gateway:
    """Return the gateway of a worker; close it when that stops.

    Parameters
    ----------
    services
        The worker's parts.
    endpoints
        Whom it may call.
    environment
        Holds their keys.
    prices, limits
        Of candidates, as the settings say; prices of the router's bundle hold where none is given.
    patience
        How long a request is tried for.
    """
    providers = Providers(endpoints, environment)
    parts = GatewayParts(
        planner=RouterPlanner(services, providers.models, prices or {}, limits or {}),
        journal=WorkerJournal(services),
        fleet=services.health,
        providers=providers,
        retries=services.retries,
        ledger=services.budgets,
        patience=patience or Patience(),
    )
    return Gateway(parts)


class RouterPlanner:
    """Plans by the worker's router.

    Parameters
    ----------
    services
        The worker's parts.
    served
        Models that have an endpoint.
    prices, limits
        Of candidates.
    """

    def __init__(
        self,
        services: Services,
        served: frozenset[str],
        prices: Mapping[str, Price],
        limits: Mapping[str, ModelLimits],
    ) -> None:
        self._services = services
        self._routing = RoutingService(services)
        self._served, self._given, self._limits = served, prices, limits
        self._prices = prices
        self._prices_of: Router | None = None

    def plan(self, chat: ChatRequest, tenant: str, request_id: str) -> Plan:
        """Return who answers; a refusal is logged, and raised."""
        try:
            routed = self._routed(chat)
            if chat.model != ROUTED:
                return self._named(chat, routed, tenant, request_id)
        except Exception as error:
            log_refused_chat(self._services, chat, tenant, request_id, error)
            raise
        decision = self._routing.choose(routed, tenant, request_id).asked_with(chat.options.candidates)
        self._routing.noted(decision, request_id)
        return self._planned(decision, request_id)

    def plan_again(self, plan: Plan, models: tuple[str, ...]) -> Plan:
        """Return what the same policy decides among some of a plan's models."""
        before = plan.decided
        assert isinstance(before, Decision)  # noqa: S101  a named model has no fallbacks
        request = replace_fields(before.request, candidates=list(models))
        decided = self._services.decider.decide(before.router, request, plan.tenant, before.thrift)
        decided = replace_fields(
            decided, received_at=before.received_at, assignment=before.assignment, noted=before.noted
        )
        return self._planned(decided, plan.request_id)

    def _planned(self, decision: Decision, request_id: str) -> Plan:
        cost, chosen = decision.seen.expected.cost_usd, decision.choice.chosen
        upper: dict[str, float] = {}
        models = (decision.model, *decision.fallbacks)
        prices = self._prices_now(decision.router)
        if not prices and self._services.budgets is not None and self._services.budgets.has_rules:
            known = ((name, decision.upper_cost_usd(name)) for name in models)
            upper = {name: value for name, value in known if value is not None}
        return Plan(
            request_id=request_id,
            tenant=decision.tenant,
            models=models,
            user_id=decision.request.user_id,
            propensity=decision.choice.propensity,
            policy_version=decision.router.version,
            request_kind=decision.seen.kind,
            predicted_cost_usd=None if cost is None else cost.item(chosen),
            prices=prices,
            limits=self._limits,
            upper_cost_usd=upper,
            decided=decision,
        )

    def _named(self, chat: ChatRequest, routed: RouteRequest, tenant: str, request_id: str) -> Plan:
        """Return a plan that has the model that the client insists on."""
        self._services.limiter.take(tenant)
        if chat.model not in self._served:
            named = ", ".join(sorted(self._served))
            raise UnknownModelError(
                f"no endpoint serves {chat.model[:256]!r}: {ROUTED!r} lets the router choose, or name one of {named}"
            )
        return Plan(
            request_id=request_id,
            tenant=tenant,
            models=(chat.model,),
            user_id=routed.user_id,
            prices=self._prices_now(self._services.runtime.router),
            limits=self._limits,
            decided=_Named(routed, _text(chat), datetime.now(UTC)),
        )

    def _routed(self, chat: ChatRequest) -> RouteRequest:
        models = self._services.runtime.router.models
        candidates = chat.options.candidates
        if candidates is None and not self._served.issuperset(models):
            candidates = [name for name in models if name in self._served]
            if not candidates and chat.model == ROUTED:
                raise UnavailableError(
                    f"none of the router's models ({', '.join(models)}) has an endpoint: name them in mlflow.yaml"
                )
        return route_request_of(chat, candidates)

    def _prices_now(self, router: Router) -> Mapping[str, Price]:
        if router is not self._prices_of:
            self._prices, self._prices_of = {**_prices_of(router), **self._given}, router
        return self._prices


def _prices_of(router: Router) -> dict[str, Price]:
    cost = router.bundle.predictors.cost
    return dict(zip(cost.models, cost.prices, strict=True)) if isinstance(cost, TokenCostPredictor) else {}


class _Named(msgspec.Struct, frozen=True):
    """A request whose client named the model."""

    request: RouteRequest
    prompt: str | None
    received_at: datetime


def _text(chat: ChatRequest) -> str | None:
    try:
        return routed_text(chat.messages)
    except InputError:
        return None  # an image alone


class WorkerJournal:
    """Writes to the worker's log, and lets its metrics and its router's history know.

    Parameters
    ----------
    services
        The worker's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def record(self, plan: Plan, record: CallRecord) -> None:
        """Return once the row survives this process."""
        services, decided = self._services, plan.decided
        self._count(record)
        known: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__ if name != "attempts"}
        known["attempts"] = [Attempt(a.model, a.status, a.error_kind, a.latency_s) for a in record.attempts]
        if isinstance(decided, Decision) and len(record.attempts) > 1:  # the column has no place for them
            tried = ",".join(attempt.endpoint for attempt in record.attempts)
            decided = replace_fields(decided, noted=decided.noted | {ATTEMPT_ENDPOINTS: tried})
        try:
            if isinstance(decided, Decision):
                services.log.decided(decided, plan.request_id, **known)
            elif isinstance(decided, _Named):
                services.log.named(
                    decided.request,
                    decided.prompt,
                    plan.request_id,
                    plan.tenant,
                    plan.models[0],
                    decided.received_at,
                    **known,
                )
                services.metrics.log_rows("requests")
                if record.cache_result is not None:
                    services.metrics.cache_result(record.cache_result)
        except UnavailableError:
            services.metrics.log_failed()
            raise
        if isinstance(decided, Decision):
            if record.status == "rejected":  # nobody was called: the choice came to nothing, and is not on record
                services.metrics.log_rows("requests")
            else:
                services.metrics.decided(decided, record.cache_result)
            self._hint(plan, record)
            self._teach(decided, record)

    def _hint(self, plan: Plan, record: CallRecord) -> None:
        """Take note of answers that were not read to their end, and of those that never came."""
        services, request_id = self._services, plan.request_id
        if record.status != "cancelled" or record.ttft_s is None:
            if record.status != "ok":
                services.implicit.failed(request_id)
            return
        signal = services.implicit.abandoned(
            request_id, record.output_tokens or 0, expected_output_tokens(plan, record)
        )
        if signal is not None:
            services.log.signal(signal)
            services.metrics.signal(signal.kind)

    def _count(self, record: CallRecord) -> None:
        metrics = self._services.metrics
        for i, attempt in enumerate(record.attempts):
            kind = "cancelled" if attempt.status == "cancelled" else attempt.error_kind
            metrics.provider_call(attempt.endpoint, kind, attempt.latency_s)
            if attempt.error_kind is not None and i + 1 < len(record.attempts):
                metrics.fallback(attempt.model, attempt.error_kind)
        failures = [each.error_kind for each in record.attempts if each.error_kind is not None]
        if record.error_kind is not None:
            metrics.unanswered(record.status, record.error_kind)
        elif record.status == "ok" and failures:
            metrics.rescued(failures[0])
        if record.endpoint is not None and record.served_model is not None:
            metrics.region.answered(record.region)
        if record.cost_usd and record.served_model is not None:
            metrics.spent(record.served_model, record.cost_usd)

    def _teach(self, decision: Decision, record: CallRecord) -> None:
        """Let later decisions go by what became of this one, where the router does so."""
        router = self._services.runtime.router
        if router.history is None:
            return
        for attempt in record.attempts:
            if attempt.status != "cancelled" and attempt.model in router.models:
                router.observe(
                    attempt.model,
                    tenant=decision.tenant,
                    kind=decision.request.context.get("task"),
                    failed=attempt.error_kind is not None,
                    latency_s=attempt.latency_s if attempt.error_kind is None else None,
                )
