"""What a budget costs a request: microseconds of one core to reserve and to settle on leases at hand.

    python tests/benchmarks/budget_reserve.py               # 0, 1, 2 and 6 budgets on each request
    python tests/benchmarks/budget_reserve.py --pairs 1000  # tiny

Each pair is timed alone, with the journal on the disk of the temporary folder; garbage collection stays on. Prints one
JSON object: median, p99 and mean of a pair of `try_reserve` and `settle`, how often a request had to wait for the
ledger, the steps that were taken on it in the background, and the time of one such step on SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from beast_ml.operations.budgets import BudgetGuard, BudgetRule, open_ledger
from beast_ml.operations.budgets.rules import PERIODS

LIMIT = 10**15
RULES = {
    0: [],
    1: [BudgetRule(scope="tenant", limit_nano=LIMIT)],
    2: [BudgetRule(scope="tenant", limit_nano=LIMIT), BudgetRule(scope="user", limit_nano=LIMIT)],
    6: [BudgetRule(scope=s, period=p, limit_nano=LIMIT) for s in ("global", "tenant", "user") for p in PERIODS],
}


async def measure(rules: list[BudgetRule], n: int, state: Path) -> dict[str, float]:
    """Time pairs with one guard on a SQLite ledger of its own."""
    ledger = open_ledger(None, None, state)
    guard = BudgetGuard.open(ledger, state, rules)
    await guard.start()
    ids = [f"req_{k:020d}" for k in range(n + 500)]
    times = np.empty(len(ids))
    asked = 0
    for k, name in enumerate(ids):
        start = time.perf_counter_ns()
        if not guard.try_reserve(name, "acme", "bob", 1_000_000):
            await guard.reserve(name, "acme", "bob", 1_000_000)
            asked += 1
        guard.settle(name, 700_000)
        times[k] = time.perf_counter_ns() - start
        if k % 50 == 49:
            await asyncio.sleep(0)
    steps_taken = guard._steps.n_built
    steps = np.empty(50)
    for k in range(len(steps)):
        start = time.perf_counter_ns()
        await guard.beat()
        steps[k] = time.perf_counter_ns() - start
    await guard.close()
    ledger.close()
    us = times[500:] / 1e3
    return {
        "median_us": round(float(np.median(us)), 2),
        "p99_us": round(float(np.quantile(us, 0.99)), 2),
        "mean_us": round(float(us.mean()), 2),
        "asked_the_ledger": asked,
        "steps": steps_taken,
        "step_median_us": round(float(np.median(steps)) / 1e3),
    }


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50_000)
    options = parser.parse_args(arguments)
    results = {}
    for n_budgets, rules in RULES.items():
        with tempfile.TemporaryDirectory() as folder:
            results[f"{n_budgets} budgets"] = asyncio.run(measure(rules, options.pairs, Path(folder)))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
