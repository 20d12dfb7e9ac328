"""What the HTTP API does, without HTTP: decide, estimate, take in outcomes and feedback; every request is logged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace as replace_fields

from beast_ml.domain.money import nano_usd
from beast_ml.errors import BeastError, InputError, RateLimitedError, UnavailableError
from beast_ml.logs.schema import Status
from beast_ml.operations.explicit_feedback import FeedbackReport
from beast_ml.serving.decider import Decision
from beast_ml.serving.expectation import explanation_of, forecasts_of
from beast_ml.serving.logged_kinds import logged_kind
from beast_ml.serving.payloads import (
    BatchAnswer,
    BatchProblem,
    Estimate,
    OutcomeReport,
    Predicted,
    Recorded,
    RouteAnswer,
    RouteRequest,
)
from beast_ml.serving.policy_choice import PolicyChoice
from beast_ml.serving.problems import problem_of
from beast_ml.serving.prompts import text_of
from beast_ml.serving.recent_decisions import RecentDecision
from beast_ml.serving.request_ids import was_called_here
from beast_ml.serving.services import Services

__all__ = ["RoutingService"]

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(hours=1)
"""So far a client's clock may be ahead of ours."""


class RoutingService:
    """Serves requests of known tenants.

    Parameters
    ----------
    services
        What a worker is made of.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._policies = PolicyChoice(services)

    async def route(self, request: RouteRequest, tenant: str, request_id: str) -> RouteAnswer:
        """Decide for one request and log it.

        Raises
        ------
        ServingError, InputError
            If nobody can be chosen; that is logged, too.
        """
        services = self._services
        decision = (await self.decide(request, tenant, request_id)).asked_with(request.candidates)
        try:
            services.log.decided(decision, request_id)
        except UnavailableError:
            self._unreserve(request_id)  # nobody is told of the decision, so nobody spends on it
            raise
        answer = _answer(decision, request_id)
        self._told(decision, answer)
        return answer

    async def decide(self, request: RouteRequest, tenant: str, request_id: str) -> Decision:
        """Decide, and reserve what the chosen model may cost; a refusal is logged and raised."""
        decision = self.choose(request, tenant, request_id)
        if self._services.budgets is not None:
            try:
                await self._services.reserve(decision, request_id)
            except Exception as error:
                self._refused(request, tenant, request_id, error)
                raise
        return decision

    def choose(self, request: RouteRequest, tenant: str, request_id: str) -> Decision:
        """Decide, and reserve nothing: whoever makes the call does; a refusal is logged and raised."""
        services = self._services
        try:
            services.limiter.take(tenant)
            thrift = services.thrift(tenant, request.user_id)
            return self._policies.decide(request, tenant, thrift, request_id)
        except Exception as error:
            self._refused(request, tenant, request_id, error)
            raise

    async def route_many(
        self, requests: Sequence[RouteRequest], tenant: str, request_ids: Sequence[str]
    ) -> BatchAnswer:
        """Decide for many requests together; one that is refused does not keep the others from being decided."""
        services = self._services
        try:
            services.limiter.take(tenant, len(requests))
        except RateLimitedError as error:
            for request, request_id in zip(requests, request_ids, strict=True):
                self._refused(request, tenant, request_id, error)
            raise
        results = self._decide_many(requests, tenant, request_ids)
        if services.budgets is not None:
            results = await asyncio.gather(*map(self._reserved, results, request_ids))
        answers: list[RouteAnswer | None] = []
        problems: list[BatchProblem] = []
        decided: list[tuple[Decision, RouteAnswer]] = []
        for request, result, request_id in zip(requests, results, request_ids, strict=True):
            try:
                if isinstance(result, Exception):
                    raise result
            except BeastError as error:
                self._refused(request, tenant, request_id, error)
                problem, _ = problem_of(error)
                problems.append(BatchProblem(len(answers), problem.kind, problem.detail, problem.status))
                answers.append(None)
            else:
                answers.append(answer := _answer(result, request_id))
                decided.append((result.asked_with(request.candidates), answer))
        try:
            services.log.decided_many([(decision, answer.request_id) for decision, answer in decided])
        except UnavailableError:
            for _, answer in decided:
                self._unreserve(answer.request_id)
            raise
        for decision, answer in decided:
            self._told(decision, answer)
        return BatchAnswer(answers, problems)

    async def _reserved(self, result: Decision | Exception, request_id: str) -> Decision | Exception:
        try:
            if isinstance(result, Decision):
                await self._services.reserve(result, request_id)
        except BeastError as error:
            return error
        return result

    def _unreserve(self, request_id: str) -> None:
        if self._services.budgets is not None:
            self._services.budgets.settle(request_id, 0)

    def _decide_many(
        self, requests: Sequence[RouteRequest], tenant: str, request_ids: Sequence[str]
    ) -> list[Decision | Exception]:
        services, runtime = self._services, self._services.runtime
        of_user = {user: services.thrift(tenant, user) for user in {request.user_id for request in requests}}
        thrifts = [of_user[request.user_id] for request in requests]
        if services.experiments.takes(tenant):  # each may be drawn for another policy
            return list(map(self._decided, requests, [tenant] * len(requests), thrifts, request_ids))
        try:
            decided = services.decider.decide_many(runtime.router, requests, tenant, thrifts)
        except (BeastError, MemoryError):
            raise
        except Exception as error:
            if not runtime.failed(error):
                raise
            decided = services.decider.decide_many(runtime.router, requests, tenant, thrifts)
        for each in decided:
            if isinstance(each, Decision):
                runtime.succeeded(each.prompt)
        return decided

    def _decided(self, request: RouteRequest, tenant: str, thrift: float, request_id: str) -> Decision | Exception:
        try:
            return self._policies.decide(request, tenant, thrift, request_id)
        except BeastError as error:
            return error

    def estimate(self, request: RouteRequest, tenant: str) -> Estimate:
        """Return what every candidate would cost; nothing is chosen, reserved or logged."""
        services = self._services
        services.limiter.take(tenant)
        decision = services.decider.decide(services.runtime.router, request, tenant)
        forecasts = forecasts_of(decision.router.bundle, decision.seen)
        return Estimate(tuple(f for f in forecasts if f.model in decision.candidates))

    def outcomes(self, reports: Sequence[OutcomeReport], tenant: str) -> Recorded:
        """Take in what became of requests: all of them, or none when one is wrong."""
        services = self._services
        services.limiter.take(tenant, len(reports))
        for report in reports:
            services.ids.check(report.request_id, tenant)
            if was_called_here(report.request_id):
                raise InputError(
                    f"{report.request_id} was called by this server, which knows its outcome: tell feedback alone"
                )
            _check_time(report.observed_at)
            if report.status == "ok" and report.error_kind is not None:
                raise InputError(f"`error_kind` == {report.error_kind!r} of a request with status ok: leave one out")
        services.log.outcomes(reports)
        for report in reports:
            self._settle(report)
            services.outcome_known(report, tenant)
        services.metrics.outcomes_told(len(reports))
        return Recorded(len(reports))

    def feedback(self, reports: Sequence[FeedbackReport], tenant: str) -> Recorded:
        """Take in how good answers were: all of it, or none when one is wrong."""
        services = self._services
        services.limiter.take(tenant, len(reports))
        for report in reports:
            services.ids.check(report.request_id, tenant)
            _check_time(report.observed_at)
        services.log.feedback(reports)
        services.metrics.feedback_told(len(reports))
        return Recorded(len(reports))

    def _told(self, decision: Decision, answer: RouteAnswer) -> None:
        """Take note of a decision that a client is told, and will act on."""
        services = self._services
        services.recent.add(answer.request_id, RecentDecision(answer.model, answer.fallbacks))
        services.health.taken(decision.model, decision.tenant)
        services.metrics.decided(decision)
        self.noted(decision, answer.request_id)

    def noted(self, decision: Decision, request_id: str) -> None:
        """Look whether a request that was decided says something of an earlier answer."""
        services, request = self._services, decision.request
        if decision.prompt is None or (request.user_id is None and request.session_id is None):
            return
        turns = [(message.role, text_of(message.content)) for message in request.messages or ()]
        signal = services.implicit.sent(
            request_id, decision.tenant, request.user_id, request.session_id, decision.prompt, turns
        )
        if signal is not None:
            services.log.signal(signal)
            services.metrics.signal(signal.kind)

    def _refused(self, request: RouteRequest, tenant: str, request_id: str, error: Exception) -> None:
        services = self._services
        kind = logged_kind(error)
        if isinstance(error, BeastError):
            error.request_id = request_id
        if kind == "rate_limit":  # whoever floods the server must not fill its disk
            request = replace_fields(request, prompt=None, messages=None, context={})
        status: Status = "rejected" if isinstance(error, BeastError) else "error"
        router = services.runtime.router
        try:
            services.log.rejected(request, request_id, tenant, router.models, router.version, kind, status)
            services.metrics.unanswered(status, kind)
            services.metrics.log_rows("requests")
        except UnavailableError:
            services.metrics.log_failed()
            if not isinstance(error, UnavailableError):
                raise  # the client must not believe that its request is on record

    def _settle(self, report: OutcomeReport) -> None:
        budgets = self._services.budgets
        if budgets is None:
            return
        if report.cost_usd is not None:
            budgets.settle(report.request_id, nano_usd(report.cost_usd), told=True)
        elif report.status != "ok":
            budgets.settle(report.request_id, 0, told=True)


def _check_time(observed_at: datetime | None) -> None:
    if observed_at is not None and not _EARLIEST <= observed_at <= datetime.now(UTC) + _AHEAD:
        raise InputError(f"`observed_at` == {observed_at.isoformat()}, must be a time after 2000 that has come")


def _answer(decision: Decision, request_id: str) -> RouteAnswer:
    chosen, expected = decision.choice.chosen, decision.seen.expected
    explained = decision.request.explain
    bundle, drawn = decision.router.bundle, decision.assignment
    return RouteAnswer(
        request_id=request_id,
        model=decision.model,
        propensity=decision.choice.propensity,
        fallbacks=decision.fallbacks,
        policy_version=decision.router.version,
        predicted=Predicted(
            expected.quality.item(chosen),
            None if expected.cost_usd is None else expected.cost_usd.item(chosen),
            None if expected.latency_s is None else expected.latency_s.item(chosen),
        ),
        request_kind=decision.seen.kind,
        experiment_id=UNSET if drawn is None or drawn.experiment_id is None else drawn.experiment_id,
        variant=UNSET if drawn is None or drawn.variant is None else drawn.variant,
        forecasts=forecasts_of(bundle, decision.seen) if explained else UNSET,
        explanation=explanation_of(bundle, decision.seen, decision.choice) if explained else UNSET,
    )
