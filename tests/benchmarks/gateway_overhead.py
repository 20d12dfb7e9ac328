"""What a call of a provider takes of the gateway's core, and why its bodies go past the openai SDK's models.

    python tests/benchmarks/gateway_overhead.py                  # 1,000 calls of each
    python tests/benchmarks/gateway_overhead.py --calls 100      # tiny

A fake provider that answers at once runs in a process of its own; calls are made one after another, in turns. Prints
CPU microseconds of the calling process and wall milliseconds. Over HTTP, at 200 requests/s: ``beast bench serving
--parts gateway``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable

import httpx2
import numpy as np
import openai

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.operations.health.fleet import FleetHealth
from beast_ml.operations.health.retry_budget import RetryBudget
from beast_ml.serving.gateway.chat_request import ChatRequest, decode_chat
from beast_ml.serving.gateway.contract import CallRecord, Plan
from beast_ml.serving.gateway.gateway import Gateway
from beast_ml.serving.gateway.parts import GatewayParts
from beast_ml.serving.gateway.provider import Providers
from beast_ml.serving.gateway.transport import ProviderTransport
from beast_ml.testing.fake_provider import FakeProviderProcess

PROMPT = "Explain to a new colleague why the router sent this request to the cheaper of two models this morning."
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()


class _Nothing:
    """Plans the one model there is, and forgets."""

    def plan(self, chat: ChatRequest, tenant: str, request_id: str) -> Plan:
        return Plan(request_id=request_id, tenant=tenant, models=("m",), prices={"m": Price(1.0, 3.0)})

    def plan_again(self, plan: Plan, models: tuple[str, ...]) -> Plan:
        return plan

    def record(self, plan: Plan, record: CallRecord) -> None:
        pass


async def measure(base_url: str, n_calls: int) -> dict[str, dict[str, float]]:
    """Return times of each way of calling."""
    endpoints = [Endpoint("e", "m", base_url)]
    providers, nothing = Providers(endpoints, {}), _Nothing()
    parts = GatewayParts(nothing, nothing, FleetHealth(endpoints, ["m"]), providers, RetryBudget())
    gateway, told = Gateway(parts), json.loads(BODY)
    async with (
        openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0) as plain,
        openai.AsyncOpenAI(
            api_key="none",
            base_url=base_url,
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=ProviderTransport()),
        ) as on_ours,
    ):

        async def typed() -> None:
            await plain.chat.completions.create(**told)

        async def untyped() -> None:
            await on_ours.post("/chat/completions", body=told, cast_to=httpx2.Response)

        async def passed_through() -> None:
            response = await providers.send("e", BODY)
            await response.read()

        async def whole_gateway() -> None:
            await gateway.answer(decode_chat(BODY), "default", "req")

        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "openai SDK, as it is": typed,
            "openai SDK, untyped, on our connections": untyped,
            "bytes on our connections": passed_through,
            "whole gateway, without HTTP and router": whole_gateway,
        }
        times = {name: (np.empty(n_calls), np.empty(n_calls)) for name in ways}
        for i in range(-n_calls // 10, n_calls):
            for name, call in ways.items():
                cpu, wall = time.process_time_ns(), time.perf_counter_ns()
                await call()
                if i >= 0:
                    times[name][0][i] = (time.process_time_ns() - cpu) / 1e3
                    times[name][1][i] = (time.perf_counter_ns() - wall) / 1e6
    await providers.close()
    return {
        name: {
            "cpu_us": float(np.mean(cpu)),
            "p50_ms": float(np.median(wall)),
            "p99_ms": float(np.quantile(wall, 0.99)),
        }
        for name, (cpu, wall) in times.items()
    }


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="of each way")
    options = parser.parse_args(arguments)
    import uvloop

    with FakeProviderProcess() as provider:
        found = uvloop.run(measure(provider.base_url(), options.calls))
    print(f"{'':<42}{'CPU us':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for name, row in found.items():
        print(f"{name:<42}{row['cpu_us']:>10.0f}{row['p50_ms']:>10.2f}{row['p99_ms']:>10.2f}")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
