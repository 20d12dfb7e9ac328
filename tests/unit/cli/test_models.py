import json

import pandas as pd
import pytest

from beast_ml.bundle.read import read_bundle
from beast_ml.testing.failing_logs import failing_log


@pytest.fixture
def add(beast, router_folder, world, tmp_path):
    outcomes = world.outcomes
    pd.DataFrame({"query_id": outcomes.query_ids, "prompt": outcomes.prompts}).to_csv(
        tmp_path / "prompts.csv", index=False
    )

    def run(*arguments, name="newest"):
        prices = ("--input-price", 1.0, "--output-price", 3.0)
        return beast("models", "add", name, "--from", router_folder, "--prompts", "prompts.csv", *prices, *arguments)

    return run


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_model_is_added_at_once_and_again_by_its_answers(add, world, tmp_path, suffix):
    probes = tmp_path / f"probes.{suffix}"
    code, out, _ = add("--expected-quality", 0.7, "--n-probes", 20, "--out", probes)
    assert code == 0
    assert "newest (new)" in out
    assert "20 prompts to answer" in out
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    asked = read[suffix](probes)
    assert set(asked["prompt"]) < set(world.outcomes.prompts)
    asked["quality"] = 1.0
    asked.loc[0, "quality"] = None  # not yet judged
    asked["output_tokens"] = 50
    answered = tmp_path / "answered.parquet"
    asked.to_parquet(answered)
    code, out, _ = add("--expected-quality", 0.7, "--probes", answered, "--to", tmp_path / "more", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["n_probes"] == 19
    assert said["prior_quality"] == 0.7
    assert said["expected_quality"]["newest"]["mean"] > 0.7
    assert read_bundle(tmp_path / "more").manifest.models == ("large", "medium", "newest", "small")


def test_prompts_may_be_lines_of_text(add, beast, router_folder, world, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join([*world.outcomes.prompts[:30], "", world.outcomes.prompts[0]]))
    code, out, _ = add("--prompts", "prompts.txt", "--json")
    assert code == 0
    assert json.loads(out)["n_probes"] == 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--expected-quality", 1.5), "0..1"),
        (("--benchmark", "newest=71", "--benchmark", "small=0.3"), "0..1"),
        (("--benchmark", "newest"), "NAME=NUMBER such as"),
        (("--benchmark", "newest=0.7"), "at least one of"),
        (("--out", "probes.xlsx"), ".parquet, .csv or .jsonl"),
        (("--probes", "prompts.csv"), "no judged answer of 'newest'"),
        (("--from", "models:/beast-router"), "no address"),
        (("--from", "models:/beast-router/1", "--to", "more"), "leave `--to` out"),
    ],
)
def test_what_is_wrong_is_said(add, arguments, words):
    code, _, err = add(*arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_a_name_that_is_taken_and_an_unknown_bundle_are_refused(add):
    code, _, err = add(name="small")
    assert code == 2
    assert "already" in err
    code, _, err = add("--from", "nowhere")
    assert code == 1
    assert "no router bundle" in err


def test_prompts_and_both_prices_are_asked_for(beast, router_folder):
    assert "--prompts" in beast("models", "add", "newest", "--from", router_folder)[2]
    prompts = ("--prompts", "x.csv", "--input-price", 1.0)
    assert beast("models", "add", "newest", "--from", router_folder, *prompts)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--endpoint", "http://x/v1", "--probes", "prompts.csv"), "one of the two"),
        (("--endpoint", "x"), "http(s)://"),
        (("--price", "1,2"), "one or the others"),
        (("--endpoint", "http://127.0.0.1:9/v1", "--judge", "equal", "--expected-quality", 0.5), "reference"),
        (("--endpoint", "http://127.0.0.1:9/v1", "--judge", "newest", "--expected-quality", 0.5), "its own answers"),
        (("--endpoint", "http://127.0.0.1:9/v1", "--judge", "huge", "--expected-quality", 0.5), "no endpoint"),
    ],
)
def test_what_is_wrong_with_asking_is_said(add, arguments, words):
    code, _, err = add(*arguments)
    assert code == 2
    assert words in " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("compare", "a", "b", "--live", "--outcomes", "x.csv"), "one of the two"),
        (("compare", "a", "a", "--live"), "two different models"),
        (("compare", "a", "b", "--live"), "no endpoint"),
        (("compare", "a", "b"), "no log"),
        (("health",), "holds no log"),
        (("health", "--since", "soon"), "must be a time"),
        (("retire", "a", "--from", "bundle"), "no registry address"),
    ],
)
def test_other_commands_say_what_is_wrong(beast, command, words):
    code, _, err = beast("models", *command)
    assert code == 2
    assert words in " ".join(err.split())


def test_models_are_compared_by_an_outcome_table(beast, world, tmp_path):
    outcomes = world.outcomes
    rows = [
        {"query_id": query, "prompt": prompt, "model": model, "quality": quality, "cost_usd": cost, "task": "code"}
        for query, prompt, qualities, costs in zip(
            outcomes.query_ids, outcomes.prompts, outcomes.quality, outcomes.cost_usd, strict=True
        )
        for model, quality, cost in zip(outcomes.models, qualities, costs, strict=True)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "outcomes.parquet")
    command = ("models", "compare", "large", "small", "--outcomes", "outcomes.parquet", "--out", "report")
    code, out, _ = beast(*command)
    assert code == 0
    assert "small is worse than large: -" in out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["reference"] == "large"
    assert {row["kind"] for row in report["compared"]} == {"all", "code"}
    assert (tmp_path / "report" / "comparison.png").exists()
    assert json.loads(beast(*command, "--json")[1]) == report


def test_health_by_the_log_is_told_where_no_server_answers(beast, tmp_path):
    def outage(row, rng):
        if row["endpoint"] == "large-eu" and 12 <= row["received_at"].hour < 18 and row["received_at"].day == 8:
            row |= {"status": "timeout", "error_kind": "timeout", "served_model": None}

    failing_log(tmp_path / "data" / "logs", outage, n=3_000, rate=0.0)
    code, out, err = beast("models", "health", "--since", "2026-03-02")
    assert code == 0
    assert "does not answer" in " ".join(err.split())
    assert "Incidents" in out
    assert "timeout" in out
    report = json.loads(beast("models", "health", "--since", "2026-03-02", "--json")[1])
    assert report["now"] is None
    assert report["log"]["models"][1]["incidents"][0]["error_kind"] == "timeout"
