"""What importing costs: each statement in fresh interpreters, beyond what an empty one takes.

    python tests/benchmarks/import_time.py                  # median of 15
    python tests/benchmarks/import_time.py --repeats 3      # tiny

Prints a table and one JSON object. The goal is below 50 ms for ``import beast_ml``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "import beast_ml": "import beast_ml",
    "Router": "from beast_ml import Router",
    "command line": "import beast_ml.cli.main",
    "read_outcomes": "from beast_ml import read_outcomes",
    "RouterLearner": "from beast_ml import RouterLearner",
    "train": "from beast_ml import train",
}


def seconds(code: str) -> float:
    """Return the wall time of a fresh interpreter that runs some code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args(arguments).repeats
    times: dict[str, list[float]] = {name: [] for name in ("nothing", *STATEMENTS)}
    # In turns, so that a busy minute of the machine falls on all alike; the first round warms the disk.
    for turn in range(repeats + 1):
        for name in times:
            spent = seconds(STATEMENTS.get(name, "pass"))
            if turn:
                times[name].append(spent)
    empty = statistics.median(times.pop("nothing"))
    result = {name: round(1000 * (statistics.median(spent) - empty), 1) for name, spent in times.items()}
    for name, milliseconds in result.items():
        sys.stdout.write(f"{name:16} {milliseconds:8.1f} ms\n")
    report = {"interpreter_ms": round(1000 * empty, 1), "import_ms": result, "repeats": repeats}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
