"""What the gateway adds to a call: the fake provider called directly and through it, in turns, at one rate."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.benchmarks.serving.cases import Effort, Spread, spread
from beast_ml.benchmarks.serving.drive import Driver, Measured
from beast_ml.benchmarks.serving.load_plan import LoadPlan, Quantiles
from beast_ml.benchmarks.serving.payloads import chats, varied, write_bodies
from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.benchmarks.serving.subjects import Subject, beast
from beast_ml.serving.router import Router

__all__ = ["RATE", "GatewayResult", "Turn", "measure_gateway", "provider"]

RATE: Final = 200.0
"""Requests a second."""

_PATH: Final = "/v1/chat/completions"
_MODEL: Final = "beast"
_CONNECTIONS: Final = 64


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of each.

    Parameters
    ----------
    direct, through
        Calls of the provider itself, and through the gateway.
    """

    direct: Measured
    through: Measured

    def added_us(self, quantile: str, *, first_byte: bool = False) -> float:
        """Return by how much a quantile of the latency grew."""

        def of(measured: Measured) -> float:
            found = measured.load.first_byte if first_byte else measured.load.latency
            return float("nan") if found is None else float(getattr(found, quantile))

        return of(self.through) - of(self.direct)


class GatewayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Parameters
    ----------
    rate
        Requests a second.
    stream
        Whether answers were streamed.
    turns
        Each measurement.
    """

    rate: float
    stream: bool
    turns: tuple[Turn, ...]

    def added_us(self, quantile: str, *, first_byte: bool = False) -> Spread:
        """Return the growth of a quantile over the turns; ``p50_us``, ``p95_us`` or ``p99_us``."""
        return spread([turn.added_us(quantile, first_byte=first_byte) for turn in self.turns])

    @property
    def failed(self) -> int:
        """Requests through the gateway that were not answered with 2xx."""
        return sum(turn.through.load.failed for turn in self.turns)


def provider() -> Subject:
    """Return the fake provider, which answers at once."""
    options = ("--port", "{port}", "--latency-scale", "0")
    return Subject("provider", (sys.executable, "-m", "beast_ml.testing.fake_provider", *options), ready="/v1/models")


def with_endpoints(bundle: Path, port: int) -> Subject:
    """Return `beast serve` whose models all answer at a provider on a port."""
    models = Router.load(bundle).models
    endpoints = [
        {"name": f"fake-{model}", "model": model, "base_url": f"http://127.0.0.1:{port}/v1", "api_key_env": "FAKE_KEY"}
        for model in models
    ]
    return beast(str(bundle), {"BEAST_ENDPOINTS": json.dumps(endpoints), "FAKE_KEY": "none"})


def measure_gateway(
    bundle: Path, base: Sequence[str], effort: Effort, cores: Sequence[int], folder: Path, *, stream: bool
) -> GatewayResult:
    """Return what the gateway adds.

    Raises
    ------
    InputError, UnavailableError
        If the gateway, the provider or the generator fails.
    """
    name = Router.load(bundle).models[0]
    n_prompts = int(effort.repeats * RATE * (effort.seconds + effort.warm_s) * 1.5) + 1000
    prompts = list(varied(base, n_prompts))
    asked = {"direct": name, "through": _MODEL}
    for key, model in asked.items():
        write_bodies(folder / f"{key}.jsonl", chats(prompts, model, stream=stream))
    driver = Driver(folder, cores[1:] or cores)
    port = free_port()
    with (
        provider().start(folder, cores=cores[1:] or cores, port=port) as called,
        with_endpoints(bundle, port).start(folder, cores=cores[:1]) as gateway,
    ):
        used = {"direct": 0, "through": 0}

        def measure(key: str, server: ServerProcess) -> Measured:
            plan = LoadPlan(
                port=server.port,
                path=_PATH,
                bodies=str(folder / f"{key}.jsonl"),
                skip=used[key],
                rate=RATE,
                connections=_CONNECTIONS,
                warm_s=effort.warm_s,
                measure_s=effort.seconds,
            )
            found = driver.drive(server, plan)
            used[key] += found.load.used
            return found

        turns = tuple(
            Turn(direct=measure("direct", called), through=measure("through", gateway)) for _ in range(effort.repeats)
        )
    return GatewayResult(rate=RATE, stream=stream, turns=turns)


def quantiles_ms(found: Quantiles | None) -> str:
    """Return p50, p95 and p99 for a table."""
    if found is None:
        return "-"
    return " / ".join(f"{value / 1000:.2f}" for value in (found.p50_us, found.p95_us, found.p99_us))
