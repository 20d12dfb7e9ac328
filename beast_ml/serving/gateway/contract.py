"""What the gateway needs of the worker it runs in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint, ModelLimits
from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import BeastError
from beast_ml.logs.schema import CacheResult, Status
from beast_ml.serving.gateway.chat_request import ChatRequest

__all__ = [
    "AttemptRecord",
    "CallRecord",
    "Fleet",
    "Journal",
    "Ledger",
    "Plan",
    "Planner",
    "Retries",
    "WholeAnswer",
    "Witness",
]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to answer a request, as it was decided.

    Parameters
    ----------
    request_id, tenant, user_id
        Of the request.
    models
        The chosen one, then its fallbacks, best first.
    propensity, policy_version
        Of the choice; None where a client named its model.
    request_kind
        As classified; None where nobody did.
    predicted_cost_usd
        Of the chosen one.
    prices, limits
        What is known of the models.
    upper_cost_usd
        What an answer costs at most with 95% probability, by model; used where there is no price.
    decided
        The planner's own; handed back with the record.
    """

    request_id: str
    tenant: str
    models: tuple[str, ...]
    user_id: str | None = None
    propensity: float | None = None
    policy_version: str | None = None
    request_kind: str | None = None
    predicted_cost_usd: float | None = None
    prices: Mapping[str, Price] = {}
    limits: Mapping[str, ModelLimits] = {}
    upper_cost_usd: Mapping[str, float] = {}
    decided: object = None


class AttemptRecord(msgspec.Struct, frozen=True):
    """One call of a provider: what the log keeps of it.

    Parameters
    ----------
    model, endpoint
        Who was called, and where.
    status, error_kind
        How it ended.
    latency_s
        How long it took.
    """

    model: str
    endpoint: str
    status: Status
    error_kind: ErrorKind | None = None
    latency_s: float | None = None


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request; its columns are those of the request log.

    Parameters
    ----------
    status, error_kind, attempts
        How it ended, and all calls that were made for it.
    served_model, endpoint, region
        Who answered, and where.
    ttft_s, latency_s
        Of the answer.
    input_tokens, output_tokens, cost_usd
        What it took.
    cache_result
        What the cache said; None: it was not asked.
    """

    status: Status
    error_kind: ErrorKind | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    served_model: str | None = None
    endpoint: str | None = None
    region: str | None = None
    ttft_s: float | None = None
    latency_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    cache_result: CacheResult | None = None


class WholeAnswer(msgspec.Struct, frozen=True):
    """An answer that is not streamed: the provider's body, and what is said about it.

    Parameters
    ----------
    headers
        Ours, `x-beast-...`.
    """

    body: bytes
    headers: dict[str, str]


class Witness(Protocol):
    """Sees what becomes of a request that the cache had no answer to; see `beast_ml.serving.answer_cache`."""

    @property
    def cache_result(self) -> CacheResult:
        """What the cache said: ``miss`` or ``bypass``."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether it wants to see the answer."""
        ...

    def answered(self, plan: Plan, record: CallRecord, answer: bytes | Sequence[bytes]) -> None:
        """Take note of a complete answer: a completion, or the events of a stream that its client got whole."""
        ...

    def failed(self, record: CallRecord, error: BeastError) -> None:
        """Take note that there is none."""
        ...


class Planner(Protocol):
    """Decides who answers."""

    def plan(self, chat: ChatRequest, tenant: str, request_id: str) -> Plan:
        """Return the plan; a refusal is logged, and raised."""
        ...

    def plan_again(self, plan: Plan, models: tuple[str, ...]) -> Plan:
        """Return what is decided among some of a plan's models, where the one it chose was not called.

        Raises
        ------
        ServingError, InputError
            If none of them can be chosen now.
        """
        ...


class Journal(Protocol):
    """Writes the log."""

    def record(self, plan: Plan, record: CallRecord) -> None:
        """Return once the row survives this process."""
        ...


class Ledger(Protocol):
    """Budgets; see `beast_ml.operations.budgets.guard.BudgetGuard`."""

    @property
    def rules(self) -> Collection[object]:
        """The rules that hold now; where there is none, nothing is reserved."""
        ...

    def try_reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> bool:
        """Reserve if that takes no wait."""
        ...

    async def reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> None:
        """Reserve, or raise."""
        ...

    def settle(self, reservation_id: str, actual_nano: int) -> None:
        """Replace a reservation by what was spent."""
        ...


class Fleet(Protocol):
    """Endpoints and their health; see `beast_ml.operations.health.fleet.FleetHealth`."""

    def pick(self, model: str, exclude: frozenset[str] = frozenset()) -> Endpoint | None:
        """Return where a model is to be called now; None: nowhere."""
        ...

    def tried_again_in_s(self, model: str) -> float:
        """Return in how many seconds a model that cannot be called is tried again."""
        ...

    def started(self, endpoint: str) -> None:
        """Take note that a call begins."""
        ...

    def finished(
        self, endpoint: str, error_kind: ErrorKind | None, latency_s: float | None, retry_after_s: float | None = None
    ) -> None:
        """Take note that a call has ended; without a latency nothing is learnt but that it is over."""
        ...


class Retries(Protocol):
    """How many calls beyond the first one requests may take; see `beast_ml.operations.health.RetryBudget`."""

    def request(self) -> None:
        """Take note that a request came."""
        ...

    def take(self) -> bool:
        """Return whether one more call may be made."""
        ...
