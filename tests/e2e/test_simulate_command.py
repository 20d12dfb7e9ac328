"""`beast logs simulate` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from beast_ml.testing.outcome_sets import random_outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    matrix = random_outcomes(np.random.default_rng(0))
    rows, columns = np.nonzero(~np.isnan(matrix.quality))
    frame = pd.DataFrame(
        {
            "query_id": matrix.query_ids[rows],
            "task": matrix.tasks[rows],
            "prompt": [matrix.prompts[i] for i in rows],
            "model": [matrix.models[j] for j in columns],
            "quality": matrix.quality[rows, columns],
            "cost_usd": matrix.cost_usd[rows, columns],
        }
    )
    frame.loc[len(frame)] = {**frame.iloc[0].to_dict(), "query_id": "bad", "quality": 7.0}
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.parquet"
    frame.to_parquet(path)
    return path


def beast(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from beast_ml.cli.main import run; run()", "logs", "simulate"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_log_its_truth_and_its_description_are_written(outcomes: Path, tmp_path: Path) -> None:
    out = tmp_path / "log"
    result = beast(
        outcomes, "--out", out, "--requests", 300, "--policy", "softmax", "--arrivals", "diurnal", "--days", 2,
        "--tenants", 3, "--repeat-zipf", 1.1, "--paraphrase-share", 0.1, "--label-share", 0.3, "--label-delay-h", 24,
        "--failure-rate", 0.01, "--model-failure", "m1=0.5", "--seed", 4, "--start", "2026-02-01", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    description = json.loads(result.stdout)
    written = json.loads((out / "simulation.json").read_text())
    assert {**written, "folder": str(out)} == description
    assert description["seed"] == 4
    assert description["models"]["m1"]["failure_rate"] == 0.5
    assert description["parameters"]["arrivals"]["start"] == "2026-02-01T00:00:00Z"
    assert description["parameters"]["labels"]["share"] == 0.3
    rows = sum(pq.read_metadata(part).num_rows for part in out.glob("day=2026-02-0*/part-*.parquet"))
    assert rows == 300
    assert "1 outcome rows were left out" in result.stderr


def test_people_get_a_table(outcomes: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s\n0\n1\n5\n")
    out = tmp_path / "log"
    result = beast(outcomes, "--out", out, "--requests", 50, "--jsonl", "--per-task", "--trace", trace)
    assert result.returncode == 0, result.stderr
    assert "simulated:epsilon-greedy" in result.stdout
    assert "50 requests (50 ok)" in result.stdout
    assert len((out / "requests.jsonl").read_text().splitlines()) == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "best"], "`policy` == 'best', must be one of uniform"),
        (["--model", "gpt-9"], "'gpt-9' is not in the outcome set; it has m0, m1"),
        (["--model-failure", "m1"], "`--model-failure` == 'm1', must be NAME=NUMBER"),
        (["--model-failure", "=0.1"], "must be NAME=NUMBER"),
        (["--trace", "nowhere.parquet"], "the trace nowhere.parquet is not there"),
        (["--requests", "0"], "`requests` == 0, must be at least 1"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(
    outcomes: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = beast(outcomes, "--out", tmp_path / "log", *arguments)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "log").exists()
