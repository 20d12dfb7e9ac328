"""What a newcomer does first: quickstart, route, estimate, train on own outcomes, promote, roll back; and mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beast_ml.testing.worlds import make_world

pytestmark = pytest.mark.slow


def beast(folder: Path, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
    """Run the command line in a process of its own, as a user does; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "beast_ml.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        input=stdin,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first-hour")
    report = json.loads(beast(folder, "quickstart", "--json"))
    return folder, report


def outcome_table(path: Path, seed: int = 0, n_queries: int = 200) -> Path:
    outcomes = make_world(np.random.default_rng(seed), n_queries).outcomes
    pairs = [(i, j) for i in range(outcomes.n_queries) for j in range(len(outcomes.models))]
    frame = pd.DataFrame(
        {
            "query_id": [outcomes.query_ids[i] for i, _ in pairs],
            "prompt": [outcomes.prompts[i] for i, _ in pairs],
            "task": [outcomes.tasks[i] for i, _ in pairs],
            "model": [outcomes.models[j] for _, j in pairs],
            **{
                name: [getattr(outcomes, name)[i, j] for i, j in pairs]
                for name in ("quality", "cost_usd", "input_tokens", "output_tokens", "latency_s")
            },
        }
    )
    frame.to_parquet(path)
    return path


def test_quickstart_says_whether_routing_pays_and_leaves_a_champion(home):
    _, report = home
    low, high = report["verdict"]["quality_gain"][1:]
    assert low <= report["verdict"]["quality_gain"][0] <= high
    assert report["champion"]["champion"] >= report["version"]
    assert report["champion"]["kind"] == ("router" if report["verdict"]["pays"] else "single")
    assert {decision["propensity"] for decision in report["decisions"]} == {1.0}


def test_the_champion_routes_and_explains(home):
    folder, _ = home
    decision = json.loads(beast(folder, "route", "What is 2 + 2?", "--json"))
    assert decision["model"] not in decision["fallbacks"]
    assert set(decision["predicted"]) == {"quality", "cost_usd", "latency_s", "ttft_s"}
    assert decision["propensity"] == 1.0
    assert len(decision["forecasts"]) == 3
    table = beast(folder, "route", "-", "--max-cost-usd", "0.001", stdin="What is 2 + 2?")
    assert "fallbacks:" in table
    assert f"kind of request: {decision['request_kind']}" in table


def test_what_each_candidate_would_cost_is_told_before_anything_is_sent(home, beast, monkeypatch):  # in this process
    folder, _ = home
    monkeypatch.chdir(folder)
    code, estimate, error = beast("estimate", "What is 2 + 2?", "--json")
    assert code == 0, error
    for candidate in json.loads(estimate)["candidates"]:
        assert candidate["cost_usd"]["low"] <= candidate["cost_usd"]["high"]
    table = beast("estimate", "What is 2 + 2?")[1]
    assert "USD" in table
    assert "mean [90% interval]" in " ".join(table.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("route", "hi", "--candidates", "gpt-9"), "no candidate 'gpt-9'; the pool is"),
        (("route", "hi", "--min-quality", "1"), "no candidate meets min_quality 1"),
        (("route", "  "), "the prompt is empty"),
        (("route", "hi", "--context", "code"), "must be key=value"),
        (("route", "hi", "--router", "models:/beast-router@nobody"), "nobody"),
        (("train",), "give either --outcomes FILE or --log FOLDER"),
        (("train", "--outcomes", "absent.parquet"), "absent.parquet"),
        (("train", "--log", "absent", "--cost", "none"), "are for --outcomes"),
    ],
)
def test_mistakes_are_said_in_one_sentence(home, beast, monkeypatch, arguments, said):  # the fixture: in this process
    folder, _ = home
    monkeypatch.chdir(folder)
    code, _, error = beast(*arguments)
    assert code == (1 if "models:/beast-router@nobody" in arguments else 2)
    assert said in " ".join(error.split())
    assert "Traceback" not in error


def test_own_outcomes_train_promote_and_roll_back(tmp_path):
    table = outcome_table(tmp_path / "mine.parquet")
    trained = json.loads(
        beast(tmp_path, "train", "--outcomes", str(table), "--encoder", "hashing", "--use-task", "--json")
    )
    assert trained["version"] == 1
    assert {"beast-encoder", "beast-quality", "beast-cost", "beast-latency"} == set(trained["parts"])
    first = json.loads(beast(tmp_path, "promote", "--json"))
    assert json.loads(beast(tmp_path, "route", "please sort this list", "--context", "task=code", "--json"))["model"]
    assert first["champion"] >= 1


@pytest.mark.usefixtures("tiny_routers")
def test_a_training_judged_on_a_table_of_its_own_says_what_is_next(beast, tmp_path):  # the fixture: in this process
    table, other = outcome_table(tmp_path / "mine.parquet"), outcome_table(tmp_path / "other.parquet", seed=1)
    code, shown, error = beast("train", "--outcomes", table, "--test", other, "--encoder", "hashing")
    assert code == 0, error
    assert "next: beast promote" in shown


def test_one_model_is_nothing_to_route_between(beast, tmp_path):
    table = outcome_table(tmp_path / "mine.parquet", n_queries=60)
    code, _, error = beast("train", "--outcomes", table, "--pool", "large", "--encoder", "hashing")
    assert code == 2
    assert "at least two" in error


def test_an_mlflow_server_that_is_down_is_said_and_nothing_is_written(beast, tmp_path):
    table = outcome_table(tmp_path / "mine.parquet", n_queries=60)
    (tmp_path / "mlflow.yaml").write_text("tracking: {uri: 'http://127.0.0.1:9'}\n")
    before = sorted(tmp_path.iterdir())
    code, _, error = beast("train", "--outcomes", table, "--encoder", "hashing")
    assert code == 1
    assert "127.0.0.1:9" in error
    assert sorted(tmp_path.iterdir()) == before
