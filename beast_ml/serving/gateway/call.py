"""One chat request on its way: its attempts, and the one row that is logged of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import BeastError
from beast_ml.logs.schema import Status
from beast_ml.serving.gateway.accounting import Usage, estimated_usage
from beast_ml.serving.gateway.attempt import Attempt
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.gateway.contract import AttemptRecord, CallRecord, Plan, Witness
from beast_ml.serving.gateway.failures import Failure
from beast_ml.serving.gateway.parts import GatewayParts
from beast_ml.serving.logged_kinds import logged_kind

__all__ = ["Call"]


class Call:
    """One chat request on its way.

    Parameters
    ----------
    parts
        Of the worker.
    plan, chat
        Who is to answer what.
    witness
        Sees what becomes of it; None where there is no cache.
    """

    def __init__(self, parts: GatewayParts, plan: Plan, chat: ChatRequest, witness: Witness | None = None) -> None:
        self.plan, self.chat, self.witness = plan, chat, witness
        self.record: CallRecord | None = None
        """What was logged, once it was."""
        self.attempts: list[AttemptRecord] = []
        self.n_characters = 0
        """Of the answer, as far as it came."""
        self.ttft_s: float | None = None
        self._parts = parts
        self._attempt: Attempt | None = None
        self._began = time.perf_counter()
        self._ended = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the decision."""
        return time.perf_counter() - self._began

    def plan_again(self, plan: Plan) -> None:
        """Go by another plan: nobody was called yet, and whom the first one chose cannot be."""
        self.plan = plan

    @property
    def who(self) -> tuple[str, str]:
        """Model and endpoint of the attempt at hand."""
        return ("", "") if self._attempt is None else (self._attempt.model, self._attempt.endpoint.name)

    def begin(self, model: str, endpoint: Endpoint) -> Attempt:
        """Return the next attempt."""
        number = len(self.attempts) + 1
        self._attempt = attempt = Attempt(self._parts, self.plan, self.chat, model, endpoint, number)
        return attempt

    def first_token(self) -> None:
        """Take note of the time."""
        if self._attempt is not None:
            self.ttft_s = self._attempt.elapsed_s

    def headers(self, cost_usd: float | None = None) -> dict[str, str]:
        """Return what is said about an answer: who gave it, and who was chosen, with what probability.

        Propensity and predicted cost are of the chosen model, as in the log, also where another one answers.
        """
        plan, attempt = self.plan, self._attempt
        told = {"x-beast-request-id": plan.request_id}
        if attempt is not None:
            told |= {"x-beast-model": attempt.model, "x-beast-endpoint": attempt.endpoint.name}
            if attempt.model != plan.models[0]:
                told["x-beast-fallback"] = "true"
        if plan.propensity is not None:
            told["x-beast-chosen-model"] = plan.models[0]
        if plan.policy_version is not None:
            told["x-beast-policy-version"] = plan.policy_version
        if attempt is not None and attempt.max_tokens is not None:
            told["x-beast-max-tokens"] = str(attempt.max_tokens)
        told = {name: _in_a_header(value) for name, value in told.items()}
        for name, amount in (
            ("x-beast-propensity", plan.propensity),
            ("x-beast-predicted-cost-usd", plan.predicted_cost_usd),
            ("x-beast-cost-usd", cost_usd),
        ):
            if amount is not None:
                told[name] = f"{amount:.10g}"
        return told

    def failed(self, failure: Failure) -> None:
        """End the attempt at hand; another may follow."""
        if self._attempt is not None and len(self.attempts) < self._attempt.number:
            self.attempts.append(self._attempt.failed(failure))

    def served(self, usage: Usage) -> dict[str, str]:
        """End with an answer: settle, log, and return what is said about it."""
        assert self._attempt is not None  # noqa: S101  somebody has answered
        latency_s = self._attempt.elapsed_s
        record, cost = self._attempt.served(usage, latency_s)
        self.attempts.append(record)
        self._end("ok", None, usage, cost, latency_s)
        return self.headers(cost)

    def broke_off(self, failure: Failure) -> None:
        """End with half an answer: it was streamed too far to begin anew."""
        self.failed(failure)
        usage = estimated_usage(self.chat, self.n_characters)
        self._end("timeout" if failure.kind == "timeout" else "error", failure.kind, usage, None, None)

    def cancelled(self) -> None:
        """End because the client has gone."""
        if self._ended:
            return
        usage, cost, latency_s = Usage(), None, None
        if self._attempt is not None and len(self.attempts) < self._attempt.number:
            usage = estimated_usage(self.chat, self.n_characters)
            latency_s = self._attempt.elapsed_s
            record, cost = self._attempt.cancelled(usage)
            self.attempts.append(record)
        self._end("cancelled", None, usage, cost, latency_s)

    def refused(self, error: BeastError) -> None:
        """End because nobody can answer."""
        if self._ended:
            return
        if self.attempts:  # whatever came after it: somebody was called
            last = self.attempts[-1]
            self._end("timeout" if last.status == "timeout" else "error", last.error_kind, None, None, None)
        else:
            self._end("rejected", logged_kind(error))

    def witnessed(self, answer: bytes | Sequence[bytes]) -> None:
        """Let the witness see an answer that is whole and on record."""
        if self.witness is not None and self.record is not None:
            self.witness.answered(self.plan, self.record, answer)

    def broken(self) -> None:
        """End by an error of ours."""
        if self._ended:
            return
        self.failed(Failure("internal", "an error of ours", may_cost=True))
        self._end("error", "internal")

    def _end(
        self,
        status: Status,
        kind: ErrorKind | None,
        usage: Usage | None = None,
        cost_usd: float | None = None,
        latency_s: float | None = None,
    ) -> None:
        self._ended = True
        attempt = self._attempt if self.attempts else None
        record = CallRecord(
            status=status,
            error_kind=kind,
            attempts=tuple(self.attempts),
            served_model=attempt.model if attempt is not None and status == "ok" else None,
            endpoint=None if attempt is None else attempt.endpoint.name,
            region=(attempt.endpoint.region or None) if attempt is not None else None,
            ttft_s=self.ttft_s,
            latency_s=latency_s,
            input_tokens=usage.prompt_tokens if usage is not None else None,
            output_tokens=usage.completion_tokens if usage is not None else None,
            cost_usd=cost_usd,
            cache_result=None if self.witness is None else self.witness.cache_result,
        )
        self._parts.journal.record(self.plan, record)
        self.record = record


def _in_a_header(value: str) -> str:
    return value if value.isascii() and value.isprintable() else quote(value)
