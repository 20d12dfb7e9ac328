"""What every request pays beside its decision: microseconds of processor time.

    python tests/benchmarks/serving_overheads.py                  # median of 9 rounds
    python tests/benchmarks/serving_overheads.py --rounds 3 --calls 2000      # tiny

A known key is looked up (among 10,000), a token is taken (from a bucket of this process, and from one that workers
share), the depth of 2 KB of JSON is told (a prompt; a conversation full of brackets and escapes), the metrics of one
decision are counted, and those of all workers are shown. Prints a table and one JSON object. The goals are 2 us for the
key, 1 us for the token, 4 us for the metrics.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from beast_ml.operations.keys.key import ApiKey, digest_of, new_key
from beast_ml.operations.keys.ring import KeyRing
from beast_ml.serving.json_limits import check_depth
from beast_ml.serving.metrics import ServingMetrics
from beast_ml.serving.rate_limit import RateLimiter, SharedBuckets

N_KEYS = 10_000
PROMPT = json.dumps({"prompt": "Which of these two proofs is right, and why? " * 45}).encode()
CONVERSATION = json.dumps(
    {"messages": [{"role": "user", "content": 'if (x[i] == "a") { y[j] = "\\\\n"; }'} for _ in range(26)]}
).encode()


class ManyKeys:
    """A store of keys, so that the ring is as large as a big deployment's."""

    def __init__(self) -> None:
        made = [new_key() for _ in range(N_KEYS)]
        now = datetime.now(UTC)
        self.key = made[N_KEYS // 2][1].encode()
        self._keys = tuple(ApiKey(key_id, digest_of(key.encode()), "acme", "", now) for key_id, key in made)

    def n_changes(self) -> int:
        return 1

    def read(self) -> tuple[int, tuple[ApiKey, ...]]:
        return 1, self._keys


def timed_us(call: Callable[[], object], calls: int, rounds: int) -> float:
    """Return the median over rounds of the mean processor time of a call."""
    means = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(calls):
            call()
        means.append(1e6 * (time.process_time() - started) / calls)
    return statistics.median(means)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        keys = ManyKeys()
        ring = KeyRing(keys)
        ring.refresh()
        own = RateLimiter(1e9)
        table = SharedBuckets(Path(folder))
        shared = RateLimiter(1e9, shared=table)
        metrics = ServingMetrics(Path(folder) / "metrics")
        decision = SimpleNamespace(model="openai/gpt-4o", decision_us=120.0)

        def decided() -> None:
            metrics.request("/v1/route", 200, 0.0012, "acme")
            metrics.decided(decision)

        steps: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "key lookup": lambda: ring.tenant_of(keys.key),
            "rate limit": lambda: own.take("acme"),
            "rate limit, shared": lambda: shared.take("acme"),
            f"depth of a prompt ({len(PROMPT)} B)": lambda: check_depth(PROMPT, 64),
            f"depth of a conversation ({len(CONVERSATION)} B)": lambda: check_depth(CONVERSATION, 64),
            "metrics of a decision": decided,
        }
        times = {name: timed_us(call, options.calls, options.rounds) for name, call in steps.items()}
        times["metrics shown"] = timed_us(metrics.render, 20, options.rounds)
        table.close()
    for name, us in times.items():
        print(f"{name:40} {us:8.2f} us")
    print(json.dumps({name: round(us, 3) for name, us in times.items()}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
