"""Seconds from a backup to a server that decides again, on the demo's size: `beast quickstart` and a log of requests.

    python tests/benchmarks/restore_time.py                   # about two minutes: quickstart trains
    python tests/benchmarks/restore_time.py --requests 1000   # a smaller log

Promised: less than a minute from `beast restore` to the first decision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request, write_json_lines

BEAST = [sys.executable, "-m", "beast_ml.cli"]
PROMISED_S = 60.0


def beast(folder: Path, *arguments: str) -> float:
    """Run a command, and return how many seconds that took."""
    start = time.perf_counter()
    subprocess.run([*BEAST, *arguments, "--json"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def fill_log(folder: Path, n_requests: int) -> None:
    """Put requests into the store, a thousand an hour."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    rows = (
        routed_request(
            request_id=f"request-{i}",
            received_at=(start + timedelta(seconds=3.6 * i)).isoformat(),
            prompt=f"Question {i}: what is {i} times {i + 1}, and why is it not {i * i}?",
            user_id=f"user-{i % 50}",
        )
        for i in range(n_requests)
    )
    log = write_json_lines(folder / "log.jsonl", rows)
    ingest([log], LogStore(folder / "data/logs"), folder / "data/quarantine")
    log.unlink()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="beast-restore-") as scratch:
        demo, new = Path(scratch) / "demo", Path(scratch) / "new"
        demo.mkdir()
        os.environ["BEAST_CACHE_DIR"] = str(Path(scratch) / "cache")
        beast(demo, "quickstart")
        fill_log(demo, options.requests)
        with serve(demo, Path(scratch)) as server:
            decide(server)
            first = beast(demo, "backup", "--to", f"{scratch}/backups")
            second = beast(demo, "backup", "--to", f"{scratch}/backups")
        os.environ["BEAST_CACHE_DIR"] = str(Path(scratch) / "other cache")
        start = time.perf_counter()
        restored = beast(Path(scratch), "restore", f"{scratch}/backups", "--into", str(new))
        with serve(new, Path(scratch)) as server:
            decide(server)
            serving = time.perf_counter() - start
    result = {
        "requests": options.requests,
        "backup_s": round(first, 1),
        "next_backup_s": round(second, 1),
        "restore_s": round(restored, 1),
        "restore_to_first_decision_s": round(serving, 1),
        "promised_s": PROMISED_S,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return int(serving > PROMISED_S)


def serve(folder: Path, scratch: Path) -> ServerProcess:
    """Return a server that is ready."""
    port = free_port()
    command = [*BEAST, "serve", "--port", str(port)]
    environment = {"BEAST_CACHE_DIR": os.environ["BEAST_CACHE_DIR"]}
    return ServerProcess.start(
        command, port, scratch / f"{folder.name}.log", environment=environment, folder=folder, within_s=120.0
    )


def decide(server: ServerProcess) -> None:
    """Have it route a request."""
    status, answer = server.post("/v1/route", b'{"prompt": "What is the integral of x squared?"}')
    assert status == 200, answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
