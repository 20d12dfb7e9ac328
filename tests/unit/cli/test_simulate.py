import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beast_ml.cli.main import app
from beast_ml.errors import InputError, UnknownModelError

SAMPLE = Path(__file__).parents[3] / "data" / "sample" / "outcomes.parquet"


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["logs", "simulate", *map(str, arguments)])


def test_every_knob_reaches_the_configuration(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s\n0\n2\n")
    result = simulate(
        SAMPLE, "--out", tmp_path / "log", "--requests", 60, "--seed", 5, "--policy", "softmax", "--temperature", 0.3,
        "--model", "sample-small", "--per-task", "--willingness", 2.5, "--arrivals", "trace", "--trace", trace,
        "--trace-speed", 3, "--days", 4, "--start", "2026-03-02T05:00:00", "--tenants", 4, "--users", 9,
        "--task-concentration", 5, "--repeat-zipf", 0.7, "--paraphrase-share", 0.25, "--rejected-rate", 0.1,
        "--failure-rate", 0.2, "--model-failure", "sample-large=0.5", "--label-share", 0.4, "--label-delay-h", 3,
        "--epsilon", 0.15, "--max-attempts", 4, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    parameters = json.loads(result.stdout)["parameters"]
    assert parameters["policy"] == {
        "kind": "softmax",
        "epsilon": 0.15,
        "temperature": 0.3,
        "model": "sample-small",
        "per": "task",
        "willingness_to_pay": 2.5,
    }
    assert parameters["arrivals"]["trace"] == "trace.csv"
    assert parameters["arrivals"]["trace_speed"] == 3
    assert parameters["arrivals"]["start"] == "2026-03-02T05:00:00Z"
    assert parameters["arrivals"]["days"] == 4
    assert parameters["traffic"]["tenants"] == 4
    assert parameters["traffic"]["users"] == 9
    assert parameters["traffic"]["task_concentration"] == 5
    assert parameters["traffic"]["repeat_zipf"] == 0.7
    assert parameters["traffic"]["paraphrase_share"] == 0.25
    assert parameters["traffic"]["rejected_rate"] == 0.1
    assert parameters["failures"]["rate"] == 0.2
    assert parameters["failures"]["max_attempts"] == 4
    assert parameters["failures"]["model_rates"] == {"sample-large": 0.5}
    assert parameters["labels"]["share"] == 0.4
    assert parameters["labels"]["mean_delay_h"] == 3


def test_a_trace_alone_chooses_the_arrivals_and_tables_are_for_people(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s\n0\n2\n")
    result = simulate(SAMPLE, "--out", tmp_path / "log", "--requests", 40, "--trace", trace, "--jsonl")
    assert result.exit_code == 0, result.output
    assert "40 requests (40 ok), 0 served by a fallback, 40 labelled" in result.stdout
    assert "sample-medium" in result.stdout


def test_rows_that_are_left_out_are_said(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.csv"
    rows = [f"q{i},p{i},{model},{0.5 if i else 2}" for i in range(3) for model in ("a", "b")]
    outcomes.write_text("query_id,prompt,model,quality\n" + "\n".join(rows) + "\n")
    result = simulate(outcomes, "--out", tmp_path / "log", "--requests", 10)
    assert result.exit_code == 0, result.output
    assert "2 outcome rows were left out" in result.stderr
    assert result.stdout.count(" - ") >= 3  # costs are not known


@pytest.mark.parametrize("pair", ["sample-large", "=0.3", "sample-large=often"])
def test_a_failure_rate_must_name_a_model_and_a_number(tmp_path: Path, pair: str) -> None:
    result = simulate(SAMPLE, "--out", tmp_path / "log", "--model-failure", pair)
    assert isinstance(result.exception, InputError)
    assert "must be NAME=NUMBER" in str(result.exception)


def test_an_unknown_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    result = simulate(SAMPLE, "--out", tmp_path / "log", "--model-failure", "nobody=0.1")
    assert isinstance(result.exception, UnknownModelError)
    assert list(tmp_path.iterdir()) == []
