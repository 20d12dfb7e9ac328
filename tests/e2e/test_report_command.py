"""`beast report errors` as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from beast_ml.testing.failing_logs import LOG_END, failing_log

ROOT = Path(__file__).parents[2]


def beast(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BEAST_")}
    command = [sys.executable, "-W", "error", "-c", "from beast_ml.cli.main import run; run()", "report", "errors"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose log holds an endpoint that refuses the key since six hours before its end."""

    def refused(row, rng):
        if row["endpoint"] == "large-us" and row["received_at"] >= LOG_END - timedelta(hours=6):
            row |= {"status": "error", "error_kind": "auth", "served_model": None}

    folder = tmp_path_factory.mktemp("report")
    failing_log(folder / "data" / "logs", refused, n=4_000)
    return folder


def test_it_says_what_fails_where_since_when_and_what_to_do(folder: Path) -> None:
    done = beast(folder, "--out", "report")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "new auth failures of large" in said
    assert "Endpoint large-us of large refuses the API key" in said
    assert "next Renew the key in the variable named by `api_key_env` of endpoint large-us" in said
    assert "patterns of failure is new" in said
    assert (folder / "report" / "errors.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((folder / "report" / "report.json").read_text("utf-8"))
    assert written["patterns"][0]["error_kind"] == "auth"


def test_programs_get_json(folder: Path) -> None:
    done = beast(folder, "--json", "--since", "2026-03-08T12:00")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["since"] == "2026-03-08T12:00:00+00:00"
    assert report["patterns"][0]["is_new"]
    assert report["totals"]["n_failed"] == sum(pattern["rate"]["n_failed"] for pattern in report["patterns"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "must be a time such as"),
        (("--since", "1h"), "holds no request since"),
        (("--since", "9999999999w"), "must be a time such as"),
        (("--store", "nowhere"), "holds no log: beast logs ingest"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = beast(folder, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
