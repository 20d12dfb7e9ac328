"""Processes that log and compact are killed at any moment: what was acknowledged is in the store, once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from beast_ml.errors import UnavailableError
from beast_ml.logs.compaction import compact
from beast_ml.logs.segments import SegmentWriter, sealed_segments
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request

WRITER = """
import itertools, json, os, sys
from pathlib import Path
from beast_ml.logs.segments import SegmentWriter

folder, name = Path(sys.argv[1]), sys.argv[2]
row = json.loads(sys.stdin.readline())
writer = SegmentWriter(folder, max_bytes=50_000, max_age_s=0.05, sync_s=0.01)
for i in itertools.count():
    row["request_id"] = f"{name}-{i}"
    line = json.dumps(row).encode()
    if i % 10:
        writer.append(line)
    else:
        writer.append_many([line, json.dumps({"table": "outcomes", "request_id": f"{name}-{i}", "cost_usd": i,
                                              "observed_at": "2026-03-01T12:00:00Z"}).encode()])
    os.write(1, b"%d\\n" % i)  # the acknowledgement, after the row
"""

KILLED_COMPACTIONS = """
import os, shutil, signal, sys
from pathlib import Path
from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
import beast_ml.logs.ingest_requests, pandas  # everything is imported before the forks

root, template = Path(sys.argv[1]), Path(sys.argv[2])
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def run(folder, kill_at):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    n = 0

    def watch(event, arguments):
        nonlocal n
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in CHANGES or writes) and str(arguments[0]).startswith(str(folder)):
            n += 1
            if n == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    compact(folder / "segments", LogStore(folder / "store"), folder / "quarantine")
    os._exit(0)


for kill_at in range(1, 1000):
    folder = root / str(kill_at)
    shutil.copytree(template, folder)
    code = run(folder, kill_at)
    if code != -signal.SIGKILL:
        sys.exit(code or print(kill_at - 1))
    if kill_at % 5 == 0:  # some are killed twice
        run(folder, kill_at // 2)
"""


AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def request(**changes: Any) -> dict[str, Any]:
    return {"table": "requests"} | routed_request(quality=None, quality_source=None, feedback_at=None, **changes)


def ids(store: LogStore) -> list[str]:
    return sorted(store.requests(["request_id"])["request_id"].to_pylist())


@pytest.mark.slow
def test_every_acknowledged_row_of_killed_writers_is_in_the_store(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "store")
    acknowledged: set[str] = set()
    for turn in range(4):
        names = [f"{turn}-{k}" for k in range(2)]
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path / "segments"), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pipesize=4096,  # so that it waits before it has written all too much
            )
            for name in names
        ]
        for name, writer in zip(names, writers, strict=True):
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(json.dumps(request()).encode() + b"\n")
            writer.stdin.close()
            for _ in range(500 + 300 * turn):  # the rest of what it writes waits in the pipe, or fills it
                acknowledged.add(f"{name}-{int(writer.stdout.readline())}")
        compact(tmp_path / "segments", store, tmp_path / "quarantine")  # beside writers that live
        for name, writer in zip(names, writers, strict=True):
            writer.kill()
            assert writer.stdout is not None
            rest = writer.stdout.read()
            writer.stdout.close()
            assert writer.wait() == -signal.SIGKILL
            whole = rest[: rest.rfind(b"\n") + 1].split()
            acknowledged.update(f"{name}-{int(i)}" for i in whole)
    summary = compact(tmp_path / "segments", store, tmp_path / "quarantine")
    assert summary.n_open == 0
    found = ids(store)
    assert len(found) == len(set(found))
    assert acknowledged - set(found) == set()
    assert len(set(found) - acknowledged) <= 8  # one of each writer: written, and killed before it could say so
    costs = store.requests(["request_id", "cost_usd"]).to_pylist()
    assert all(row["cost_usd"] == int(row["request_id"].split("-")[2]) for row in costs if row["request_id"][-1] == "0")


@pytest.mark.slow
def test_a_compaction_that_is_killed_between_any_two_steps_loses_and_doubles_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template"
    for k in range(3):
        rows = [request(request_id=f"{k}-{i}", received_at=f"2026-03-0{1 + i % 2}T10:00:00Z") for i in range(4)]
        rows += [
            {"table": "outcomes", "request_id": f"{k}-0", "observed_at": "2026-03-01T12:00:00Z", "cost_usd": k},
            {"table": "feedback", "request_id": f"{k}-1", "feedback_at": "2026-03-01T12:00:00Z", "quality": 0.5},
            {"table": "signals", "request_id": f"{k}-2", "observed_at": "2026-03-01T12:00:00Z", "kind": "retry"},
            request(request_id=f"bad-{k}", status="fine"),
        ]
        with SegmentWriter(template / "segments") as writer:
            writer.append_many([json.dumps(row).encode() for row in rows])
        if k == 0:  # so that there is a store to add to
            compact(template / "segments", LogStore(template / "store"), template / "quarantine")
    known = LogStore(template / "store")
    for i in range(14):  # with those above and below there are enough for files to be merged
        known.append_signals(pd.DataFrame({"request_id": [f"s{i:02}"], "observed_at": [AT], "kind": ["retry"]}))
    [first, _] = sealed_segments(template / "segments")
    first.rename(first.with_name(first.name.replace(".jsonl", ".open.jsonl")))  # one whose writer died
    (template / "segments" / ".new-1").touch()

    root = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_COMPACTIONS, str(root), str(template)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    n_steps = int(done.stdout)
    signals = ["0-2", "1-2", "2-2", *(f"s{i:02}" for i in range(14))]
    assert n_steps > 20
    for kill_at in range(1, n_steps + 1):
        folder = root / str(kill_at)
        store = LogStore(folder / "store")
        compact(folder / "segments", store, folder / "quarantine")
        assert ids(store) == [f"{k}-{i}" for k in range(3) for i in range(4)], kill_at
        assert sorted(store.signals()["request_id"].to_pylist()) == signals, kill_at
        assert len(list((store.path / "signals").glob("part-*.parquet"))) in (1, 2), kill_at
        late = {kind: store_rows(store, kind) for kind in ("outcomes", "feedback")}
        assert late == {"outcomes": 3, "feedback": 3}, kill_at
        rejected = [line for path in (folder / "quarantine").glob("*.jsonl") for line in path.read_text().splitlines()]
        assert sorted(json.loads(line)["raw"]["request_id"] for line in rejected) == ["bad-0", "bad-1", "bad-2"]
        assert [path.name for path in (folder / "segments").iterdir()] == [".compaction.lock"], kill_at
        assert list((store.path / ".staging").iterdir()) == [], kill_at


def store_rows(store: LogStore, kind: str) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in (store.path / kind).glob("part-*.parquet"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mount") or os.geteuid() != 0, reason="makes a small disk of its own")
def test_a_disk_that_is_full_refuses_and_takes_rows_again_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no disk may be mounted here")
    try:
        filler, rows = disk / "filler", []
        filler.write_bytes(b"x" * 500_000)
        with SegmentWriter(disk / "segments", sync_s=0.01) as writer:
            with pytest.raises(UnavailableError, match="No space left on device"):  # noqa: PT012 - when it comes is not known
                for i in range(10_000):
                    writer.append(json.dumps(request(request_id=f"{i:05d}")).encode())
                    rows.append(f"{i:05d}")
            filler.unlink()
            deadline = time.monotonic() + 30
            while True:
                try:
                    writer.append(json.dumps(request(request_id="after")).encode())
                    break
                except UnavailableError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
        store = LogStore(tmp_path / "store")
        summary = compact(disk / "segments", store, tmp_path / "quarantine")
        assert summary.n_quarantined == 0
        assert ids(store) == [*rows, "after"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
