"""A million simulated requests: wall time and peak memory.

    python tests/benchmarks/simulate_million.py OUTCOMES.parquet [--requests 1000000]
    python tests/benchmarks/simulate_million.py --requests 20000        # tiny, on the quickstart's outcomes

Prints one JSON object. The log goes to a temporary folder and is removed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.simulate import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    SimulationConfig,
    TrafficConfig,
    write_simulation,
)


def busy_traffic(requests: int) -> SimulationConfig:
    """Return days and nights of twenty tenants who repeat and reword themselves; some calls fail."""
    return SimulationConfig(
        requests=requests,
        arrivals=ArrivalConfig(kind="diurnal"),
        traffic=TrafficConfig(tenants=20, repeat_zipf=1.1, paraphrase_share=0.1),
        failures=FailureConfig(rate=0.01),
        labels=LabelConfig(share=0.3, mean_delay_h=24.0),
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    frame = read_outcomes(options.outcomes).frame if options.outcomes else load_quickstart()[0]
    config = busy_traffic(options.requests)
    outcomes = OutcomeMatrix.from_frame(frame)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = write_simulation(outcomes, config, 0, Path(folder) / "log")
        seconds = time.perf_counter() - started
        size_mb = sum(path.stat().st_size for path in summary.folder.rglob("*") if path.is_file()) / 1e6
    result = {
        "requests": options.requests,
        "queries": outcomes.n_queries,
        "models": len(outcomes.models),
        "seconds": round(seconds, 2),
        "requests_per_s": round(options.requests / seconds),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_rss_before_mb": round(before_mb),
        "size_mb": round(size_mb, 1),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
