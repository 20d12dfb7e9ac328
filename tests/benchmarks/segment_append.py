"""What it costs to log a row so that a kill cannot lose it, beside a buffered file and a sync for every row.

    python tests/benchmarks/segment_append.py                    # in the temporary folder
    python tests/benchmarks/segment_append.py --folder /data     # on the disk that is to hold the log
    python tests/benchmarks/segment_append.py --rows 1000        # tiny

Prints rows/s and microseconds a row, the median of the repeats, and the longest single append.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from beast_ml.logs.segments import SegmentWriter

BATCH = 32


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1000, help="of a row")
    parser.add_argument("--synced-rows", type=int, default=300, help="rows of the one that syncs each")
    parser.add_argument("--rate", type=int, default=5000, help="rows/s of the run at a constant rate")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    row = b'{"table": "requests", "prompt": "' + b"x" * max(0, options.bytes - 36) + b'"}'
    ways: dict[str, tuple[Callable[[Path, bytes, int], list[float]], int]] = {
        "SegmentWriter.append": (_append, options.rows),
        f"SegmentWriter.append, {options.rate:,} rows/s": (partial(_append, rate=options.rate), 2 * options.rate),
        f"SegmentWriter.append_many({BATCH})": (_append_many, options.rows),
        "buffered file, lost by a kill": (_buffered, options.rows),
        "os.write and fdatasync a row": (_synced, options.synced_rows),
    }
    results = {}
    print(f"{'a row of ' + str(len(row)) + ' bytes':<36}{'us':>9}{'rows/s':>12}{'p99 us':>10}{'longest us':>12}")
    for name, (way, n_rows) in ways.items():
        runs = []
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                runs.append(sorted(way(Path(folder), row, min(n_rows, options.rows))))
        us = statistics.median(statistics.fmean(run) for run in runs)
        p99 = statistics.median(run[int(0.99 * (len(run) - 1))] for run in runs)
        longest = statistics.median(run[-1] for run in runs)
        results[name] = {"us_per_row": us, "rows_per_s": 1e6 / us, "p99_us": p99, "longest_us": longest}
        print(f"{name:<36}{us:>9.2f}{1e6 / us:>12,.0f}{p99:>10,.1f}{longest:>12,.0f}")
    print(json.dumps({"row_bytes": len(row), "results": results}, indent=2))


def _append(folder: Path, row: bytes, n_rows: int, rate: float | None = None) -> list[float]:
    with SegmentWriter(folder) as writer:
        return _timed(lambda: writer.append(row), n_rows, rate)


def _append_many(folder: Path, row: bytes, n_rows: int) -> list[float]:
    rows = [row] * BATCH
    with SegmentWriter(folder) as writer:
        return [us / BATCH for us in _timed(lambda: writer.append_many(rows), max(1, n_rows // BATCH))]


def _buffered(folder: Path, row: bytes, n_rows: int) -> list[float]:
    with (folder / "log").open("ab") as file:
        return _timed(lambda: file.write(row + b"\n"), n_rows)


def _synced(folder: Path, row: bytes, n_rows: int) -> list[float]:
    with (folder / "log").open("ab", buffering=0) as file:

        def write() -> None:
            file.write(row + b"\n")
            os.fdatasync(file.fileno())

        return _timed(write, n_rows)


def _timed(call: Callable[[], object], n: int, rate: float | None = None) -> list[float]:
    """Return the microseconds of each call, one after another or at a constant rate."""
    times, start = [], time.perf_counter()
    for i in range(n):
        if rate is not None:
            time.sleep(max(0.0, start + i / rate - time.perf_counter()))
        before = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - before) / 1000)
    return times


if __name__ == "__main__":
    main(sys.argv[1:])
