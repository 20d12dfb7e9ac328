"""What an exact hit in memory costs a server, beside a bare echo in the same run: microseconds of processor time.

    python tests/benchmarks/cache_hit.py                               # 3 rounds of 4 seconds
    python tests/benchmarks/cache_hit.py --rounds 1 --seconds 2        # tiny

`beast serve` with a cache, one worker; a fake provider answers 200 prompts once, then the same bodies are sent again
and again from another process. Every answer counted was a hit: calls of the provider would show in its own processor
time. Prints a table and one JSON object. The goal is 60 us a hit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

from msgspec.structs import replace as replace_fields

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.gateway_part import provider, with_endpoints
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import base_prompts, chats, varied, write_bodies
from beast_ml.benchmarks.serving.processes import free_port
from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
from beast_ml.benchmarks.serving.subjects import echo
from beast_ml.cache.entry import CacheKey
from beast_ml.cache.key import KeyMaker
from beast_ml.cache.request import CacheRequest

N_PROMPTS = 200
PATH = "/v1/chat/completions"
CACHE = {"BEAST_CACHE__ENABLED": "true", "BEAST_CACHE__SECRET": "of no worth, but long enough"}


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return CPU microseconds a request, by what is asked, one for each round."""
    bundle = quickstart_bundle(folder / "bundle")
    keys = KeyMaker(b"only to tell which of them are for a cache")
    fit = (each for each in varied(base_prompts(None), 10_000) if _is_fit(keys, each))
    prompts = list(islice(fit, N_PROMPTS))
    for name, stream in (("whole", False), ("stream", True)):
        write_bodies(folder / f"{name}.jsonl", chats(prompts, "beast", stream=stream))
    cores = sorted(os.sched_getaffinity(0))
    driver, port = Driver(folder, cores[1:] or cores), free_port()
    subject = with_endpoints(bundle, port)
    subject = replace(subject, environment={**subject.environment, **CACHE})
    found: dict[str, list[float]] = {"echo": [], "hit": [], "hit, as a stream": [], "of the provider": []}
    with (
        provider().start(folder, port=port) as called,
        subject.start(folder, cores=cores[:1]) as server,
        echo().start(folder, cores=cores[:1]) as bare,
    ):
        fill = LoadPlan(
            port=server.port, path=PATH, bodies=str(folder / "whole.jsonl"), repeat=True, connections=4, warm_s=0.0
        )
        driver.drive(server, fill)
        plan = LoadPlan(
            port=server.port,
            path=PATH,
            bodies=fill.bodies,
            repeat=True,
            connections=16,
            warm_s=0.5,
            measure_s=seconds,
        )
        asked = {
            "echo": (bare, "whole"),
            "hit": (server, "whole"),
            "hit, as a stream": (server, "stream"),
        }
        for _ in range(rounds):
            before = called.usage()
            for name, (which, bodies) in asked.items():
                path = "/" if which is bare else PATH
                lines = str(folder / f"{bodies}.jsonl")
                one = driver.drive(which, replace_fields(plan, port=which.port, path=path, bodies=lines))
                if one.load.failed:
                    raise SystemExit(f"{one.load.failed} requests failed")
                found[name].append(one.worker_cpu_us)
            after = called.usage()
            spent = sum(use.cpu_s for use in after.values()) - sum(use.cpu_s for use in before.values())
            found["of the provider"].append(1e6 * spent)
    return found


def _is_fit(keys: KeyMaker, prompt: str) -> bool:
    return isinstance(keys.full(CacheRequest.of_prompt("", prompt)), CacheKey)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.rounds, options.seconds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name:<18} {medians[name]:8.1f} us   [{min(values):.1f}, {max(values):.1f}]")
    print(json.dumps({name: round(value, 2) for name, value in medians.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
