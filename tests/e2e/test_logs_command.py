"""`beast logs ingest`, `check` and `compact` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BEAST_")}
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment | {"COLUMNS": "160", "PYTHONPATH": str(ROOT)},
    )


def beast(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-c", "from beast_ml.cli.main import run; run()", "logs", *arguments)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [routed_request(), cached_request(), routed_request(request_id="bad", quality=7)]
    return write_json_lines(tmp_path / "log.jsonl", rows)


def test_ingest_says_what_became_of_every_row(tmp_path: Path, log: Path) -> None:
    first = beast(tmp_path, "ingest", log)
    assert first.returncode == 0, first.stderr
    assert "2 new requests on 2 days, 2026-03-01 to 2026-03-02." in first.stdout
    assert "quality is outside 0..1" in first.stdout
    [quarantine] = (tmp_path / "data" / "quarantine").iterdir()
    assert f"data/quarantine/{quarantine.name}" in first.stdout
    assert (tmp_path / "data" / "logs" / "day=2026-03-01").is_dir()
    again = json.loads(beast(tmp_path, "ingest", log, "--json").stdout)
    assert (again["n_accepted"], again["n_duplicates"], again["n_quarantined"]) == (0, 2, 1)
    assert again["files"][0]["source"] == "jsonl"


def test_check_reports_on_the_store(tmp_path: Path, log: Path) -> None:
    assert beast(tmp_path, "ingest", log, "--store", "s", "--quarantine", "q").returncode == 0
    report = json.loads(beast(tmp_path, "check", "--store", "s", "--json").stdout)
    assert (report["n_requests"], report["quarantined"]) == (2, {})
    assert (
        "Only small was ever chosen: the log cannot tell how any other model would have done." in report["suspicions"]
    )


def test_the_pipeline_ingests_and_reports(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, sys.executable, ROOT / "pipelines" / "ingest.py", log)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["ingest"]["n_accepted"] == document["store"]["n_requests"] == 2


def test_compact_takes_what_a_server_logged_into_the_store(tmp_path: Path) -> None:
    rows = [{"table": "requests"} | row for row in (routed_request(), cached_request(), routed_request(request_id=""))]
    with SegmentWriter(tmp_path / "data" / "serving" / "segments") as writer:
        writer.append_many([json.dumps(row).encode() for row in rows])
    first = json.loads(beast(tmp_path, "compact", "--json").stdout)
    assert (first["n_segments"], first["n_requests"], first["n_quarantined"]) == (1, 2, 1)
    assert first["forgotten"] is None
    again = beast(tmp_path, "compact", "--keep-days", "1")
    assert again.returncode == 0, again.stderr
    assert "Deleted 2 requests of 2026-03-01 to 2026-03-02: logs are kept for 1 days." in again.stdout
    assert LogStore(tmp_path / "data" / "logs").count() == 0


def test_wrong_input_exits_with_2(tmp_path: Path) -> None:
    result = beast(tmp_path, "ingest", "gone.jsonl")
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: no file gone.jsonl: check the path" in result.stderr
