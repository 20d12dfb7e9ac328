"""A gateway on parts that stand still, and a provider that is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint, ModelLimits
from beast_ml.errors import BudgetExceededError
from beast_ml.serving.gateway.chat_request import ChatRequest, decode_chat
from beast_ml.serving.gateway.contract import CallRecord, Plan
from beast_ml.serving.gateway.gateway import Gateway, WholeAnswer
from beast_ml.serving.gateway.parts import GatewayParts, Patience
from beast_ml.serving.gateway.provider import Providers
from beast_ml.testing.fake_provider import FakeProvider, Outcome, ProviderScript

MODELS = ("big", "middle", "small")
PRICES = {"big": Price(10.0, 30.0), "middle": Price(1.0, 3.0), "small": Price(0.1, 0.3)}


class Parts:
    """Plans what it is told, remembers what it is told, and keeps one budget."""

    def __init__(self, endpoints: list[Endpoint], budget_nano: int | None = None) -> None:
        self.endpoints = endpoints
        self.models: tuple[str, ...] = MODELS
        self.limits: dict[str, ModelLimits] = {}
        self.prices = PRICES
        self.planned_again: list[tuple[str, ...]] = []
        self.plans: list[Plan] = []
        self.records: list[CallRecord] = []
        self.in_flight: dict[str, int] = {}
        self.finishes: list[tuple[str, str | None, float | None]] = []
        self.retries = 10
        self.rules = ("a rule",)
        self.left_nano = budget_nano
        self.reserved: dict[str, int] = {}
        self.settled: list[tuple[str, int, int]] = []

    def plan_again(self, plan: Plan, models: tuple[str, ...]) -> Plan:
        """Choose the last of them, so that it shows."""
        self.planned_again.append(models)
        again = (*models[-1:], *models[:-1])
        return msgspec.structs.replace(plan, models=again, propensity=0.5, predicted_cost_usd=0.0002)

    def plan(self, chat: ChatRequest, tenant: str, request_id: str) -> Plan:
        return Plan(
            request_id=request_id,
            tenant=tenant,
            models=self.models,
            propensity=0.75,
            policy_version="digest",
            predicted_cost_usd=0.0001,
            prices=self.prices,
            limits=self.limits,
        )

    def record(self, plan: Plan, record: CallRecord) -> None:
        self.plans.append(plan)
        self.records.append(record)

    def pick(self, model: str, exclude: frozenset[str] = frozenset()) -> Endpoint | None:
        fit = (each for each in self.endpoints if each.model == model and each.name not in exclude)
        return next(fit, None)

    def tried_again_in_s(self, model: str) -> float:
        return {"big": 6.4}.get(model, 20.0)

    def started(self, endpoint: str) -> None:
        self.in_flight[endpoint] = self.in_flight.get(endpoint, 0) + 1

    def finished(self, endpoint: str, error_kind: Any, latency_s: Any, retry_after_s: Any = None) -> None:
        self.in_flight[endpoint] -= 1
        self.finishes.append((endpoint, error_kind, retry_after_s))

    def request(self) -> None:
        pass

    def take(self) -> bool:
        self.retries -= 1
        return self.retries >= 0

    def try_reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> bool:
        assert reservation_id not in self.reserved
        assert self.left_nano is not None
        if upper_nano > self.left_nano:
            raise BudgetExceededError(f"{upper_nano} > {self.left_nano}", "global:day")
        self.left_nano -= upper_nano
        self.reserved[reservation_id] = upper_nano
        return True

    async def reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> None:
        raise AssertionError("try_reserve decides here")

    def settle(self, reservation_id: str, actual_nano: int) -> None:
        upper = self.reserved.pop(reservation_id)
        assert self.left_nano is not None
        self.left_nano += upper - actual_nano
        self.settled.append((reservation_id, upper, actual_nano))


class Bench:
    """A gateway, its parts, and its provider."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self.parts = Parts([Endpoint(f"{name}-1", name, provider.base_url(name), timeout_s=5.0) for name in MODELS])
        self.patience = Patience()

    def script(self, **outcomes: Outcome) -> None:
        known = {name: (outcomes.get(name, Outcome()),) for name in MODELS}
        self.provider.app.script = msgspec.structs.replace(self.provider.app.script, outcomes=known)

    def budget(self, nano: int) -> None:
        self.parts.left_nano = nano

    def run(self, using: Callable[[Gateway], Any]) -> Any:
        async def running() -> Any:
            providers = Providers(self.parts.endpoints, {})
            ledger = None if self.parts.left_nano is None else self.parts
            parts = self.parts
            gateway = Gateway(GatewayParts(parts, parts, parts, providers, parts, ledger, self.patience))
            try:
                return await using(gateway)
            finally:
                await providers.close()

        return asyncio.run(running())

    def ask(self, **more: Any) -> WholeAnswer:
        return self.run(lambda gateway: gateway.answer(chat(**more), "acme", "req_1"))

    def stream(self, **more: Any) -> tuple[dict[str, str], bytes]:
        async def reading(gateway: Gateway) -> tuple[dict[str, str], bytes]:
            answer = await gateway.answer(chat(stream=True, **more), "acme", "req_1")
            parts: list[bytes] = []

            async def write(data: bytes, last: bool) -> None:
                parts.append(data)

            await answer.relay(write)
            return answer.headers, b"".join(parts)

        return self.run(reading)

    @staticmethod
    def chat(**more: Any) -> ChatRequest:
        return chat(**more)

    @property
    def record(self) -> CallRecord:
        (record,) = self.parts.records
        assert not self.parts.reserved
        assert not any(self.parts.in_flight.values())
        return record


def chat(**more: Any) -> ChatRequest:
    body = {"model": "beast", "messages": [{"role": "user", "content": "What is 2 + 2?"}], **more}
    return decode_chat(msgspec.json.encode(body))


@pytest.fixture(scope="session")
def _provider() -> Iterator[FakeProvider]:
    with FakeProvider(ProviderScript()) as provider:
        yield provider


@pytest.fixture
def bench(_provider: FakeProvider) -> Bench:
    _provider.heal()
    _provider.app.calls.clear()
    made = Bench(_provider)
    made.script()
    return made
