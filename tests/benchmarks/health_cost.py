"""What health costs a request: microseconds of one core for each thing that is asked of it.

    python tests/benchmarks/health_cost.py
    python tests/benchmarks/health_cost.py --calls 2000     # tiny

Prints a table and one JSON object: the median over batches of calls, for 20 models with 1, 2, 4 and 8 endpoints each.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

from beast_ml.domain.endpoint import Endpoint
from beast_ml.operations.health import FleetHealth, RetryBudget

N_MODELS = 20
N_BATCHES = 21


def us_per_call(call: Callable[[], object], n: int) -> float:
    """Return the median over batches of the mean CPU time of a call."""
    times = []
    for _ in range(N_BATCHES):
        began = time.process_time_ns()
        for _ in range(n):
            call()
        times.append((time.process_time_ns() - began) / n / 1000)
    return statistics.median(times)


def costs(n_endpoints: int, n: int) -> dict[str, float]:
    """Return microseconds by what is called, the empty call taken off."""
    models = [f"model-{i}" for i in range(N_MODELS)]
    fleet = FleetHealth(
        [Endpoint(f"{model}@{j}", model, "http://localhost") for model in models for j in range(n_endpoints)],
        models,
        rng=random.Random(0),
    )
    draw = random.Random(1)
    for _ in range(1000):
        fleet.finished(f"model-3@{draw.randrange(n_endpoints)}", None, draw.lognormvariate(0, 0.8))
    retries = RetryBudget()

    def whole() -> None:
        fleet.masked_models()
        endpoint = fleet.pick("model-3")
        assert endpoint is not None
        fleet.started(endpoint.name)
        fleet.finished(endpoint.name, None, 0.5)

    def pair() -> None:
        fleet.started("model-3@0")
        fleet.finished("model-3@0", None, 0.5)

    def nothing() -> None:
        pass

    empty = us_per_call(nothing, n)
    measured = {
        "masked_models": us_per_call(fleet.masked_models, n),
        "pick": us_per_call(lambda: fleet.pick("model-3"), n),
        "started": us_per_call(lambda: fleet.started("model-5@0"), n),
        "started + finished": us_per_call(pair, n),
        "all of a request": us_per_call(whole, n),
        "retry budget": us_per_call(retries.request, n),
    }
    return {name: round(us - empty, 2) for name, us in measured.items()}


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="of each batch")
    options = parser.parse_args(arguments)
    results = {n: costs(n, options.calls) for n in (1, 2, 4, 8)}
    print(f"{'us':<20}" + "".join(f"{n:>4} endpoint{'s' if n > 1 else ' '}" for n in results))
    for name in results[1]:
        print(f"{name:<20}" + "".join(f"{each[name]:>14.2f}" for each in results.values()))
    print(json.dumps({"us_by_n_endpoints": results}))


if __name__ == "__main__":
    main(sys.argv[1:])
