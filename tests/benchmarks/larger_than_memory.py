"""A log larger than memory: what each command takes of it, each in a process of its own.

    python tests/benchmarks/larger_than_memory.py --requests 1000000       # some minutes
    python tests/benchmarks/larger_than_memory.py                          # tiny: 50,000 requests

Prints one JSON object: seconds, processor seconds and the peak of resident memory of every command, and whether each
stayed within ``--most-mb``. The requests are simulated once and repeated under other ids; three in ten costs and labels
arrive late, as they do over HTTP. ``--folder`` keeps the logs, and goes on with those that are there; ``--in-store``
takes them as a store, without ingest, which is most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from simulate_million import busy_traffic

from beast_ml.logs.bounded import bounded_connection
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.simulate import write_simulation
from beast_ml.logs.store import LogStore

_AT_ONCE = 250_000
_LOOK_EVERY_S = 0.02
_BEAST = [sys.executable, "-c", "from beast_ml.cli.main import run; run()"]
_SCAN = """
import sys
from pathlib import Path
from beast_ml.logs.store import LogStore
print(sum(batch.num_rows for batch in LogStore(Path(sys.argv[1])).batches()))
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--late", type=float, default=0.3)
    parser.add_argument("--most-mb", type=int, default=2_048)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--in-store", action="store_true")
    parser.add_argument("--only", help="commands, separated by commas; default: all")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as passing:
        folder = (options.folder or Path(passing)).resolve()
        export, store = folder / "export", folder / ("export" if options.in_store else "store")
        if not export.exists():
            write_requests(export, options.requests)
            if options.in_store:
                append_late(LogStore(store), options.late)
        commands = {
            "ingest": [*_BEAST, "logs", "ingest", export, "--store", store, "--json"],
            "ingest again": [*_BEAST, "logs", "ingest", export, "--store", store, "--json"],
            "check": [*_BEAST, "logs", "check", "--store", store, "--json"],
            "costs": [*_BEAST, "report", "costs", "--store", store, "--by", "tenant,model,day", "--json"],
            "scan": [sys.executable, "-c", _SCAN, store],
            "train": [*_BEAST, "train", "--log", store, "--encoder", "hashing", "--json"],
        }
        told = {}
        for name, command in commands.items():
            chosen = name in options.only.split(",") if options.only else True
            if not chosen or (options.in_store and name.startswith("ingest")):
                continue
            told[name] = measured(list(map(str, command)), folder)
            sys.stderr.write(f"{name}: {told[name]}\n")
            if name == "ingest":
                append_late(LogStore(store), options.late)
        size = sum(file.stat().st_size for file in store.rglob("*.parquet"))
    result = {
        "requests": options.requests,
        "store_mb": round(size / 1e6),
        "commands": told,
        "within": {name: each["peak_rss_mb"] <= options.most_mb for name, each in told.items()},
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def write_requests(folder: Path, n_requests: int) -> None:
    """Simulate requests, and repeat them under other ids until there are enough, a file a day."""
    n = min(n_requests, _AT_ONCE)
    with tempfile.TemporaryDirectory() as scratch, bounded_connection() as connection:
        write_simulation(OutcomeMatrix.from_frame(load_quickstart()[0]), busy_traffic(n), 0, Path(scratch) / "log")
        for day in (Path(scratch) / "log").glob("day=*"):
            (folder / day.name).mkdir(parents=True)
            connection.execute(
                f"COPY (SELECT * REPLACE (i || '-' || request_id AS request_id) FROM '{day}/*.parquet', "  # noqa: S608
                f"range({max(1, n_requests // n)}) t(i)) TO '{folder / day.name}/part-000000-x.parquet' "
                "(FORMAT parquet, COMPRESSION zstd)"
            )


def append_late(store: LogStore, share: float) -> None:
    """Let the costs and labels of a share of the requests come later, a file a day."""
    columns = ["request_id", "received_at", "cost_usd", "quality"]
    for late in store.by_day(_some(share), columns, where="served_model IS NOT NULL"):
        at = pc.add(late["received_at"], pa.scalar(timedelta(hours=1), pa.duration("us")))
        ids = late["request_id"]
        store.append_outcomes(pa.table({"request_id": ids, "observed_at": at, "cost_usd": late["cost_usd"]}))
        labels = {"request_id": ids, "feedback_at": at, "quality": late["quality"]}
        judged = pa.table(labels).filter(pc.is_valid(late["quality"]))
        store.append_feedback(judged.append_column("quality_source", pa.array(["user"] * judged.num_rows)))


def _some(share: float):
    return lambda table: table.slice(0, int(share * table.num_rows))


def measured(command: list[str], folder: Path) -> dict[str, float | int]:
    """Run a command and return what it took; its highest resident memory is read as long as it lives."""
    started, peak_mb = time.perf_counter(), 0.0
    environment = {**os.environ, "BEAST_TRACKING__URI": f"sqlite:///{folder}/mlflow.db", "TMPDIR": str(folder)}
    before = os.times()
    with (folder / "last.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = status.read_text()
            if "VmHWM:" in lines:
                peak_mb = max(peak_mb, int(lines.split("VmHWM:")[1].split()[0]) / 1024)
            time.sleep(_LOOK_EVERY_S)
    after = os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'last.log').read_text()[-2000:]}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_s": round(after.children_user + after.children_system - before.children_user - before.children_system, 1),
        "peak_rss_mb": round(peak_mb),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
