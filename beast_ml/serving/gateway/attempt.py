"""One call of a provider: what it may cost is put aside before, what it did cost is settled after, once."""

from __future__ import annotations

import time
from typing import Final

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ErrorKind
from beast_ml.domain.money import nano_usd
from beast_ml.errors import BudgetExceededError, InputError, LedgerError
from beast_ml.serving.gateway.accounting import Usage, cost_usd, most_output_tokens, upper_nano
from beast_ml.serving.gateway.chat_request import ChatRequest, outgoing_body, unbounded
from beast_ml.serving.gateway.connection import Answer
from beast_ml.serving.gateway.contract import AttemptRecord, Plan
from beast_ml.serving.gateway.failures import Failure
from beast_ml.serving.gateway.parts import GatewayParts

__all__ = ["Attempt"]

_THRIFT: Final = (1, 4, 16)
"""What the most tokens of an answer are divided by, in turn, where a budget does not have the cost of more."""

_OURS: Final = "gw:"
"""Begins the reservations of the gateway: no request id does, so no outcome that a client tells can settle them."""


class Attempt:
    """One call of a provider.

    Parameters
    ----------
    parts, plan, chat
        Of the request.
    model, endpoint
        Who is called.
    number
        From 1.
    """

    def __init__(
        self, parts: GatewayParts, plan: Plan, chat: ChatRequest, model: str, endpoint: Endpoint, number: int
    ) -> None:
        self.model, self.endpoint, self.number = model, endpoint, number
        self.max_tokens: int | None = None
        """Most tokens of each choice, where a budget has the gateway say so; known once it is reserved."""
        self._parts, self._plan, self._chat = parts, plan, chat
        self._upper_nano = 0
        self._reservation: str | None = None
        self._began = time.perf_counter()
        self._open = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was sent."""
        return time.perf_counter() - self._began

    async def reserve(self) -> None:
        """Put aside what it may cost.

        Raises
        ------
        BudgetExceededError
            If a budget does not have it, not even for a short answer.
        InputError
            If it asks for something of which nobody can say what it costs at most.
        LedgerError
            If that cannot be told.
        """
        if self._parts.ledger is None or not self._parts.ledger.rules:
            return
        if found := unbounded(self._chat):
            raise InputError(
                f"a budget is set, and nobody can say what {', '.join(found[:5])} may cost at most: leave it out"
            )
        price = self._plan.prices.get(self.model)
        if price is None:
            upper = self._plan.upper_cost_usd.get(self.model)
            if upper is None:
                raise LedgerError(
                    f"a budget is set, but nobody knows what {self.model!r} costs: give it prices under `candidates`"
                )
            await self._hold(nano_usd(upper))
            return
        refusal = None
        most = most_output_tokens(self._chat, self._plan.limits.get(self.model))
        for divisor in _THRIFT:
            cap = max(1, most // divisor)
            try:
                await self._hold(upper_nano(price, self._chat, cap, self.endpoint.timeout_s))
            except BudgetExceededError as error:
                refusal = refusal or error
            else:
                self.max_tokens = cap
                return
        assert refusal is not None  # noqa: S101  else one of them was reserved
        raise refusal

    async def _hold(self, nano: int) -> None:
        ledger, plan = self._parts.ledger, self._plan
        assert ledger is not None  # noqa: S101  only called where there is one
        name = f"{_OURS}{plan.request_id}.{self.number}"
        if not ledger.try_reserve(name, plan.tenant, plan.user_id, nano):
            await ledger.reserve(name, plan.tenant, plan.user_id, nano)
        self._reservation, self._upper_nano = name, nano

    async def send(self) -> Answer:
        """Send the request; return the head of the answer."""
        providers = self._parts.providers
        body = outgoing_body(
            self._chat,
            self.endpoint.provider_model or self.model,
            self.max_tokens,
            providers.cap_field(self.endpoint.name),
        )
        self._parts.fleet.started(self.endpoint.name)
        self._open = True
        self._began = time.perf_counter()
        return await providers.send(self.endpoint.name, body)

    def failed(self, failure: Failure) -> AttemptRecord:
        """End it without an answer; what it may have cost counts as spent."""
        latency_s = self._close(failure.kind, failure.retry_after_s)
        self._settle(self._upper_nano if failure.may_cost else 0)
        return AttemptRecord(
            self.model, self.endpoint.name, "timeout" if failure.kind == "timeout" else "error", failure.kind, latency_s
        )

    def served(self, usage: Usage, latency_s: float) -> tuple[AttemptRecord, float | None]:
        """End it with an answer; return its cost, too, where there is a price."""
        self._close(None)
        cost = self._cost(usage, latency_s)
        self._settle(self._upper_nano if cost is None else nano_usd(cost))
        return AttemptRecord(self.model, self.endpoint.name, "ok", None, latency_s), cost

    def cancelled(self, usage: Usage) -> tuple[AttemptRecord, float | None]:
        """End it because nobody waits for it any more; the provider may have done more than was seen of it."""
        latency_s = self._close(None, learn=False)
        self._settle(self._upper_nano)
        return AttemptRecord(self.model, self.endpoint.name, "cancelled", None, latency_s), self._cost(usage, latency_s)

    def _cost(self, usage: Usage, latency_s: float) -> float | None:
        price = self._plan.prices.get(self.model)
        return None if price is None else cost_usd(price, usage, latency_s)

    def _close(self, kind: ErrorKind | None, retry_after_s: float | None = None, *, learn: bool = True) -> float:
        latency_s = self.elapsed_s
        if self._open:
            self._open = False
            self._parts.fleet.finished(self.endpoint.name, kind, latency_s if learn else None, retry_after_s)
        return latency_s

    def _settle(self, nano: int) -> None:
        if self._reservation is not None:
            assert self._parts.ledger is not None  # noqa: S101  it was reserved there
            reservation, self._reservation = self._reservation, None
            self._parts.ledger.settle(reservation, nano)
