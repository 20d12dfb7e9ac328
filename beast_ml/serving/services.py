"""What a serving worker is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.domain.money import nano_usd
from beast_ml.errors import InputError, LedgerError
from beast_ml.events import events
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.operations.budgets.guard import BudgetGuard
from beast_ml.operations.health.fleet import FleetHealth
from beast_ml.operations.health.retry_budget import RetryBudget
from beast_ml.operations.implicit_feedback import ImplicitFeedback
from beast_ml.serving.access import Access
from beast_ml.serving.decider import Decider, Decision
from beast_ml.serving.metrics import ServingMetrics
from beast_ml.serving.payloads import OutcomeReport
from beast_ml.serving.rate_limit import RateLimiter
from beast_ml.serving.recent_decisions import RecentDecisions
from beast_ml.serving.request_ids import RequestIds
from beast_ml.serving.request_log import RequestLog
from beast_ml.serving.runtime import Runtime

if TYPE_CHECKING:
    from beast_ml.serving.answer_cache.chat_cache import ChatCache
    from beast_ml.serving.gateway.gateway import Gateway

__all__ = ["BodyLimits", "Services"]


@dataclass(frozen=True)
class BodyLimits:
    """The largest and the deepest body that is read.

    Parameters
    ----------
    max_bytes, max_depth
        Larger or deeper bodies are refused.
    """

    max_bytes: int
    max_depth: int


@dataclass
class Services:
    """One worker's parts; the application factory puts them together.

    Parameters
    ----------
    runtime
        The router that serves, and what replaces it.
    decider, log, ids, access, limiter, health, metrics
        Named as what they do.
    limits
        Of bodies.
    experiments, implicit
        Which policy decides, and what repeated requests say of earlier answers.
    analyses
        The file that the analyses of the experiments are kept in.
    budgets
        None where no budget is kept.
    recent
        Decisions whose outcome was not told yet.
    retries
        How many further calls the gateway may make.
    gateway
        Calls the models; None where no endpoint is set.
    cache
        Answers that were given before; None where the cache is off.
    """

    runtime: Runtime
    decider: Decider
    log: RequestLog
    ids: RequestIds
    access: Access
    limiter: RateLimiter
    health: FleetHealth
    metrics: ServingMetrics
    limits: BodyLimits
    experiments: FollowedExperiments
    implicit: ImplicitFeedback
    analyses: Path
    budgets: BudgetGuard | None = None
    recent: RecentDecisions = field(default_factory=RecentDecisions)
    retries: RetryBudget = field(default_factory=RetryBudget)
    gateway: Gateway | None = None
    cache: ChatCache | None = None
    _followed: frozenset[str] = frozenset()

    def thrift(self, tenant: str, user: str | None) -> float:
        """Return the share to take off the willingness to pay, 0..1: more as a budget burns."""
        budgets = self.budgets
        return 0.0 if budgets is None or not budgets.has_rules else 1.0 - budgets.pressure(tenant, user)

    async def reserve(self, decision: Decision, request_id: str) -> None:
        """Put aside what the chosen model may cost.

        Raises
        ------
        BudgetExceededError
            If a budget does not have it.
        LedgerError
            If it cannot be told: budgets fail closed.
        """
        budgets = self.budgets
        if budgets is None or not budgets.has_rules:
            return
        upper = decision.upper_cost_usd(decision.model)
        if upper is None:
            raise LedgerError(
                "a budget is set, but the router predicts no cost: train on outcomes with `cost_usd`, or with prices"
            )
        tenant, user, nano = decision.tenant, decision.request.user_id, nano_usd(upper)
        if not budgets.try_reserve(request_id, tenant, user, nano):
            await budgets.reserve(request_id, tenant, user, nano)

    def follow_experiments(self) -> None:
        """Have the policies of the running experiments loaded beside the champion."""
        wanted = self.experiments.experiments.policies()
        if wanted == self._followed:
            return
        self._followed = wanted
        try:
            self.runtime.follow_aliases(wanted)
        except InputError as error:
            events.error("experiments.not_followed", error=str(error))

    def outcome_known(self, report: OutcomeReport, tenant: str) -> None:
        """Let health and history learn from what a client told of a model it called itself: once a request."""
        decision = self.recent.take(report.request_id)
        if decision is None:
            return
        model = report.served_model or decision.model
        if model != decision.model and model not in decision.fallbacks:
            return
        failed = report.status in ("error", "timeout")
        if failed and report.served_model is None and report.error_kind is None:
            return  # neither who nor why
        self.health.told(model, report.error_kind or ("provider" if failed else None), report.latency_s, tenant=tenant)
        if model in self.runtime.router.models:
            self.runtime.router.observe(model, tenant=tenant, failed=failed, latency_s=report.latency_s)
