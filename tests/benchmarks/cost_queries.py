"""How long questions about costs take, and how much memory: each in a process of its own, on a simulated log.

    python tests/benchmarks/cost_queries.py --requests 1000000      # some minutes at 10,000,000
    python tests/benchmarks/cost_queries.py                         # tiny: 50,000 requests

Prints one JSON object. ``first_s`` is of the first time, ``median_s`` of three more, ``cpu_s`` what these took of the
processors. The log goes to a temporary folder and is removed; ``--store`` asks one that is there. ``--late 0.3`` lets
that share of the costs arrive later, as they do where callers tell outcomes over HTTP.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from simulate_million import busy_traffic

from beast_ml.domain import Price
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.simulate import write_simulation
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.question import CostQuestion
from beast_ml.operations.costs.spending import read_spending

QUESTIONS = {
    "total": CostQuestion(()),
    "by model": CostQuestion(("model",)),
    "by day": CostQuestion(("day",)),
    "by tenant, model and day": CostQuestion(("tenant", "model", "day")),
    "by user": CostQuestion(("user",), limit=25),
    "the dearest requests": CostQuestion(("request",), limit=25),
    "by model, of one tenant": CostQuestion(("model",), tenant="tenant-003"),
    "by model, at another price": CostQuestion(("model",), prices={"google/gemini-2.5-pro": Price(1.0, 8.0)}),
}
_TIMES = 3


def peak_mb() -> float:
    """Return the most memory of this process; not `ru_maxrss`, which in a child starts at what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--late", type=float, default=0.0)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--ask", choices=QUESTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.ask:
        sys.stdout.write(json.dumps(ask(LogStore(options.store), QUESTIONS[options.ask])))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or simulated(Path(folder) / "log", options.requests, options.late)
        size = sum(file.stat().st_size for file in path.glob("*/part-*.parquet"))
        told = {name: in_a_process(path, name) for name in QUESTIONS}
        n = LogStore(path).count()
    sys.stdout.write(json.dumps({"requests": n, "size_mb": round(size / 1e6, 1), "questions": told}, indent=2) + "\n")


def simulated(path: Path, requests: int, late: float) -> Path:
    write_simulation(OutcomeMatrix.from_frame(load_quickstart()[0]), busy_traffic(requests), 0, path)
    if late > 0:
        rng, store = np.random.default_rng(0), LogStore(path)
        log = store.requests(["request_id", "received_at", "cost_usd"])
        rows = log.filter(pa.array(rng.random(log.num_rows) < late))
        store.append_outcomes(rows.rename_columns(["request_id", "observed_at", "cost_usd"]))
    return path


def ask(store: LogStore, question: CostQuestion) -> dict[str, float]:
    before = peak_mb()
    seconds, cpu = [], []
    for _ in range(_TIMES + 1):
        started, worked = time.perf_counter(), time.process_time()
        read_spending(store, question)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - worked)
    return {
        "first_s": round(seconds[0], 3),
        "median_s": round(statistics.median(seconds[1:]), 3),
        "cpu_s": round(statistics.median(cpu[1:]), 3),
        "peak_rss_mb": round(peak_mb()),
        "rss_before_mb": round(before),
    }


def in_a_process(store: Path, name: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--store", str(store), "--ask", name]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return told


if __name__ == "__main__":
    main(sys.argv[1:])
