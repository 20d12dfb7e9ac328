"""What the cache's keys cost: microseconds of one core for an exact key, and for all keys once exact has missed.

    python tests/benchmarks/cache_key.py              # prompts of about 20, 50, 200 and 1000 tokens, and a conversation
    python tests/benchmarks/cache_key.py --rounds 50  # tiny

Times are of the processor, not of the clock, so that neighbours on the machine count less. Prints one JSON object: the
median and the 99th percentile, in microseconds, of an exact key, of the other keys after it, of both parts of those
(verdict and digest with text), and of a keyed hash of a kilobyte, to compare machines by.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np

from beast_ml.cache.key import KeyMaker
from beast_ml.cache.request import CacheRequest

SENTENCES = (
    "I am building a small web shop in Django and would like to understand how database transactions behave. "
    "What is the difference between select_for_update and an atomic block, and which of the two should be used when "
    "several workers reserve the same item of stock? "
)
SYSTEM = "You are a helpful assistant of a web agency. Answer briefly and give an example."


def chat(n_tokens: int, n_turns: int = 1) -> CacheRequest:
    """Return a chat whose turns have about so many tokens, at five characters each."""
    text = (SENTENCES * (n_tokens // 40 + 1))[: 5 * n_tokens]
    told = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn in range(n_turns)]
    body: dict[str, Any] = {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 400, "stream": True}
    return CacheRequest.of_chat("acme", {**body, "messages": [{"role": "system", "content": SYSTEM}, *told]})


def microseconds(call: Callable[[], object], rounds: int) -> dict[str, float]:
    """Return the median and the 99th percentile of a call's time."""
    times = np.empty(rounds)
    for k in range(rounds):
        start = time.process_time_ns()
        for _ in range(10):
            call()
        times[k] = (time.process_time_ns() - start) / 1e4
    return {"median": round(float(np.median(times)), 1), "p99": round(float(np.quantile(times, 0.99)), 1)}


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    rounds = parser.parse_args(arguments).rounds
    maker = KeyMaker(bytes(32))
    keyed, kilobyte = blake2b(key=bytes(32), digest_size=16), bytes(1024)
    results: dict[str, Any] = {"keyed_hash_of_1_kB_us": microseconds(lambda: _hashed(keyed, kilobyte), rounds)}
    requests = {f"{n} tokens": chat(n) for n in (20, 50, 200, 1000)} | {"5 turns of 50 tokens": chat(50, 5)}
    for name, request in requests.items():
        exact = maker.exact(request)
        results[name] = {
            "exact_us": microseconds(lambda request=request: maker.exact(request), rounds),
            "rest_after_exact_us": microseconds(lambda r=request, e=exact: maker.full(r, e), max(rounds // 10, 5)),
            "verdict_us": microseconds(lambda request=request: maker.verdict(request), max(rounds // 10, 5)),
        }
    print(json.dumps(results, indent=2))


def _hashed(keyed: Any, data: bytes) -> bytes:
    keyed = keyed.copy()
    keyed.update(data)
    return bytes(keyed.digest())


if __name__ == "__main__":
    main(sys.argv[1:])
