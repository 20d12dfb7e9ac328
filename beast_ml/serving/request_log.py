"""The log of every request: rows as they go to the segments, failed and rejected ones too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import InputError
from beast_ml.logs.schema import CacheResult, Status
from beast_ml.operations.explicit_feedback import FeedbackReport, quality_of
from beast_ml.operations.implicit_feedback import WeakSignal
from beast_ml.serving.decider import Decision
from beast_ml.serving.payloads import OutcomeReport, RouteRequest
from beast_ml.serving.prompts import PromptPrivacy, routed_text

__all__ = ["Attempt", "RequestLog", "RequestRow", "RowSink"]


class RowSink(Protocol):
    """Where rows go; both return once the row survives this process."""

    def append(self, line: bytes) -> None:
        """Add one row."""
        ...

    def append_many(self, lines: Sequence[bytes]) -> None:
        """Add many at once."""
        ...


class Attempt(msgspec.Struct, frozen=True):
    """One call of a model.

    Parameters
    ----------
    status, error_kind, latency_s
        How the call ended, and how long it took.
    """

    model: str
    status: Status
    error_kind: ErrorKind | None = None
    latency_s: float | None = None


class RequestRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="table", tag="requests"):
    """A row of the routed-request log; the names are those of `beast_ml.logs.schema.REQUEST_COLUMNS`.

    Parameters
    ----------
    request_id, received_at, tenant_id, user_id, session_id, app, context, prompt, input_tokens
        What was asked, by whom, and when.
    candidates, chosen_model, propensity, policy_version, request_kind, price_version
        The decision.
    experiment_id, variant
        Where it takes part in an experiment.
    predicted_quality, predicted_cost_usd, predicted_latency_s
        Of the chosen model.
    decision_us
        Microseconds that deciding took.
    cache_result, cache_tier, cache_similarity
        What the cache said.
    status, error_kind, attempts, served_model, endpoint, region
        How it ended, and who answered.
    ttft_s, latency_s, output_tokens, cost_usd
        Of the answer.
    """

    request_id: str
    received_at: datetime
    tenant_id: str
    candidates: tuple[str, ...]
    status: Status
    user_id: str | None = None
    session_id: str | None = None
    app: str | None = None
    context: dict[str, str] = {}
    prompt: str | None = None
    input_tokens: int | None = None
    chosen_model: str | None = None
    propensity: float | None = None
    policy_version: str | None = None
    request_kind: str | None = None
    endpoint: str | None = None
    region: str | None = None
    price_version: str | None = None
    experiment_id: str | None = None
    variant: str | None = None
    predicted_quality: float | None = None
    predicted_cost_usd: float | None = None
    predicted_latency_s: float | None = None
    decision_us: float | None = None
    cache_result: CacheResult | None = None
    cache_tier: str | None = None
    cache_similarity: float | None = None
    error_kind: ErrorKind | None = None
    attempts: list[Attempt] = []
    served_model: str | None = None
    ttft_s: float | None = None
    latency_s: float | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class _OutcomeRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="table", tag="outcomes"):
    request_id: str
    observed_at: datetime
    status: Status
    error_kind: ErrorKind | None = None
    served_model: str | None = None
    ttft_s: float | None = None
    latency_s: float | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class _FeedbackRow(msgspec.Struct, frozen=True, tag_field="table", tag="feedback"):
    request_id: str
    feedback_at: datetime
    quality: float
    quality_source: str


class _SignalRow(msgspec.Struct, frozen=True, tag_field="table", tag="signals"):
    request_id: str
    observed_at: datetime
    kind: str
    weak_quality: float


_NO_TIME: Final = datetime.fromtimestamp(0, UTC)
_HIT: Final = b'{"table":"requests","request_id":"%b","received_at":%b%b,"latency_s":%b}'
_HEAD: Final = b'{"table":"requests","request_id":"","received_at":"1970-01-01T00:00:00Z"'
"""How `RequestRow` begins; its fields are written in their order."""


class RequestLog:
    """Writes rows; each method returns once its rows survive this process.

    Parameters
    ----------
    sink
        Where they go.
    privacy
        What is kept of prompts.
    """

    def __init__(self, sink: RowSink, privacy: PromptPrivacy) -> None:
        self._sink = sink
        self._privacy = privacy
        self._encode = msgspec.json.Encoder().encode

    def decided(self, decision: Decision, request_id: str, **known: Any) -> None:
        """Log a decision whose outcome is not known yet, or is among what is known."""
        self._sink.append(self._encode(self.row(decision, request_id, **known)))

    def decided_many(self, decisions: Sequence[tuple[Decision, str]]) -> None:
        """Log many decisions at once."""
        self._sink.append_many([self._encode(self.row(decision, request_id)) for decision, request_id in decisions])

    def row(self, decision: Decision, request_id: str, **known: Any) -> RequestRow:
        """Return the row of a decision; ``known`` are further columns, the status among them."""
        request, expected, chosen = decision.request, decision.seen.expected, decision.choice.chosen
        prompt, context = self._kept(decision.tenant, decision.prompt, request.context, decision.noted)
        if "status" not in known:
            known |= {"status": "cancelled", "error_kind": "unreported"}
        drawn = decision.assignment
        called = known["status"] != "rejected"  # else nobody was called: the choice came to nothing
        return RequestRow(
            request_id=request_id,
            received_at=decision.received_at,
            tenant_id=decision.tenant,
            user_id=request.user_id,
            session_id=request.session_id,
            app=request.app,
            context=context,
            prompt=prompt,
            candidates=decision.candidates,
            chosen_model=decision.model if called else None,
            propensity=decision.choice.propensity if called else None,
            policy_version=decision.router.version,
            request_kind=decision.seen.kind,
            predicted_quality=expected.quality.item(chosen) if called else None,
            predicted_cost_usd=expected.cost_usd.item(chosen) if called and expected.cost_usd is not None else None,
            predicted_latency_s=expected.latency_s.item(chosen) if called and expected.latency_s is not None else None,
            decision_us=decision.decision_us,
            experiment_id=None if drawn is None else drawn.experiment_id,
            variant=None if drawn is None else drawn.variant,
            **known,
        )

    def rejected(
        self,
        request: RouteRequest,
        request_id: str,
        tenant: str,
        models: tuple[str, ...],
        policy_version: str,
        error_kind: ErrorKind,
        status: Status = "rejected",
    ) -> None:
        """Log a request that nobody was chosen for."""
        prompt, context = self._kept(tenant, _prompt_of(request), request.context, {})
        row = RequestRow(
            request_id=request_id,
            received_at=datetime.now(UTC),
            tenant_id=tenant,
            user_id=request.user_id,
            session_id=request.session_id,
            app=request.app,
            context=context,
            prompt=prompt,
            candidates=models,
            policy_version=policy_version,
            status=status,
            error_kind=error_kind,
        )
        self._sink.append(self._encode(row))

    def named(
        self,
        request: RouteRequest,
        prompt: str | None,
        request_id: str,
        tenant: str,
        model: str,
        received_at: datetime,
        **known: Any,
    ) -> None:
        """Log a request whose client named the model: it was the only candidate."""
        prompt, context = self._kept(tenant, prompt, request.context, {})
        called = known.get("status") != "rejected"
        row = RequestRow(
            request_id=request_id,
            received_at=received_at,
            tenant_id=tenant,
            user_id=request.user_id,
            session_id=request.session_id,
            app=request.app,
            context=context,
            prompt=prompt,
            candidates=(model,),
            chosen_model=model if called else None,
            propensity=1.0 if called else None,
            **known,
        )
        self._sink.append(self._encode(row))

    def row_of_hits(
        self,
        request: RouteRequest,
        prompt: str | None,
        tenant: str,
        candidates: tuple[str, ...],
        context: dict[str, str],
        **known: Any,
    ) -> bytes:
        """Return what the rows of a request have in common however often the cache answers it: see `hit`.

        Nobody was chosen; ``context`` says which entry it was.
        """
        prompt, kept = self._kept(tenant, prompt, request.context, context)
        row = RequestRow(
            request_id="",
            received_at=_NO_TIME,
            tenant_id=tenant,
            user_id=request.user_id,
            session_id=request.session_id,
            app=request.app,
            context=kept,
            prompt=prompt,
            candidates=candidates,
            **known,
        )
        return self._encode(row)[len(_HEAD) : -1]

    def hit(self, row_of_hits: bytes, request_id: str, latency_s: float) -> None:
        """Log a request that the cache answered.

        Parameters
        ----------
        row_of_hits
            What `row_of_hits` gave for it, now or when it was asked before.
        request_id, latency_s
            Of this time; the id is one that we issued.
        """
        received_at, latency = self._encode(datetime.now(UTC)), self._encode(latency_s)
        self._sink.append(_HIT % (request_id.encode(), received_at, row_of_hits, latency))

    def keeps_texts(self, tenant: str) -> bool:
        """Return whether a tenant's texts may be kept as they are."""
        return self._privacy.keeps(tenant)

    def outcomes(self, reports: Sequence[OutcomeReport]) -> None:
        """Log what became of requests."""
        now = datetime.now(UTC)
        self._sink.append_many(
            [
                self._encode(
                    _OutcomeRow(
                        request_id=report.request_id,
                        observed_at=report.observed_at or now,
                        status=report.status,
                        error_kind=report.error_kind,
                        served_model=report.served_model,
                        ttft_s=report.ttft_s,
                        latency_s=report.latency_s,
                        output_tokens=report.output_tokens,
                        cost_usd=report.cost_usd,
                    )
                )
                for report in reports
            ]
        )

    def feedback(self, reports: Sequence[FeedbackReport]) -> None:
        """Log how good answers were, as quality labels."""
        now = datetime.now(UTC)
        rows = [_FeedbackRow(each.request_id, each.observed_at or now, *quality_of(each)) for each in reports]
        self._sink.append_many([self._encode(row) for row in rows])

    def signal(self, signal: WeakSignal) -> None:
        """Log a hint on how an earlier answer was received."""
        row = _SignalRow(signal.request_id, datetime.now(UTC), signal.kind, signal.weak_quality)
        self._sink.append(self._encode(row))

    def _kept(
        self, tenant: str, prompt: str | None, context: dict[str, str], more: dict[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        kept, hashed = self._privacy.kept(tenant, prompt)
        if more:
            context = context | more
        return kept, context if hashed is None else context | {"prompt_hash": hashed}


def _prompt_of(request: RouteRequest) -> str | None:
    if request.messages is None:
        return request.prompt
    try:
        return routed_text(request.messages)
    except InputError:
        return None  # no text in it, which may be why it was rejected
