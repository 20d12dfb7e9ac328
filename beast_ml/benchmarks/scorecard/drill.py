"""A small deployment under load: a real gateway before a fake provider that fails as providers do, and its log.

Each model has two equal endpoints. Of the provider's calls 4% fail (server errors, refusals for the rate, broken
connections), each for itself, which no health can foresee; the latencies are those of a log-normal distribution. What
the log then holds is read like that of any deployment; nobody rates answers in it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import chats, varied, write_bodies
from beast_ml.benchmarks.serving.processes import free_port
from beast_ml.benchmarks.serving.subjects import Subject, beast
from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
from beast_ml.serving.router import Router

__all__ = ["run_drill"]

_RATE: Final = 60.0
_ENDPOINTS: Final = 2
_CALLS: Final = 500
_FAULTS: Final = {"server_error": 0.02, "rate_limit": 0.01, "drop": 0.01}
_MEDIAN_S, _SPREAD, _LONGEST_S = 0.05, 0.5, 1.0


def run_drill(bundle: Path, prompts: Sequence[str], folder: Path, seconds: float, seed: int = 0) -> LogStore:
    """Return the log of a deployment that took calls for so long; what an earlier drill left in the folder is removed.

    Parameters
    ----------
    bundle
        The router.
    prompts
        To vary.
    folder
        For everything.
    seconds
        Of load.
    seed
        Of the provider's latencies and failures.

    Raises
    ------
    InputError, UnavailableError
        If the server, the provider or the generator fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    n_prompts = int(2 * _RATE * (seconds + 1)) + 100
    bodies = folder / "chats.jsonl"
    write_bodies(bodies, chats(varied(prompts, n_prompts), "beast"))
    script = folder / "provider.json"
    script.write_bytes(msgspec.json.encode(_script(seed)))
    port = free_port()
    options = ("--port", "{port}", "--script", str(script))
    provider = Subject(
        "provider", (sys.executable, "-m", "beast_ml.testing.fake_provider", *options), ready="/v1/models"
    )
    plan = LoadPlan(port=0, path="/v1/chat/completions", bodies=str(bodies), rate=_RATE, measure_s=seconds)
    with provider.start(folder, port=port), _deployed(bundle, port).start(folder) as server:
        Driver(folder).drive(server, msgspec.structs.replace(plan, port=server.port))
    store = LogStore(folder / "log")
    compact(folder / "state" / "segments", store, folder / "quarantine")
    return store


def _script(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    latencies = np.minimum(_MEDIAN_S * np.exp(_SPREAD * rng.standard_normal(_CALLS)), _LONGEST_S)
    faults = rng.choice(["none", *_FAULTS], _CALLS, p=[1.0 - sum(_FAULTS.values()), *_FAULTS.values()])
    calls = [
        {"latency_s": round(float(latency), 4), "fault": str(fault), "output_tokens": 64}
        for latency, fault in zip(latencies, faults, strict=True)
    ]
    return {"outcomes": {"*": calls}}


def _deployed(bundle: Path, port: int) -> Subject:
    endpoints = [
        {"name": f"{model}-{i}", "model": model, "base_url": f"http://127.0.0.1:{port}/v1", "api_key_env": "FAKE_KEY"}
        for model in Router.load(bundle).models
        for i in range(_ENDPOINTS)
    ]
    settings = {"BEAST_ENDPOINTS": json.dumps(endpoints), "FAKE_KEY": "none", "BEAST_SERVING__COMPACT_S": "0"}
    return replace(beast(str(bundle), settings), name="gateway")
