import json
from pathlib import Path

import pytest

from beast_ml.bundle.manifest import verify


@pytest.mark.slow
def test_a_router_is_trained_here_and_registered_there(folder: Path, run, query) -> None:
    trained = run("train.py", "--encoder", "hashing", "--out", "trained")
    assert trained.returncode == 0, trained.stderr
    assert "registered models:/beast-router/1" in trained.stdout
    names = [name for (name,) in query("select name from runs order by start_time")]
    assert names[0] == "train outcomes"
    assert query("select count(*) from model_versions where name = 'beast-router'") == [(1,)]
    manifest = verify(folder / "trained" / "bundle")

    result = run("register.py", "trained/bundle", "--evidence", "trained/evidence.json", "--name", "sample")
    assert result.returncode == 0, result.stderr
    assert "models:/beast-router/2" in result.stdout
    tags = dict(query("select key, value from model_version_tags where name = 'beast-router' and version = 2"))
    assert tags["bundle_digest"] == manifest.digest
    assert json.loads(tags["evidence"]) == json.loads((folder / "trained" / "evidence.json").read_text())
    assert ("register sample", "FINISHED") in query("select name, status from runs")


@pytest.mark.slow
def test_a_log_trains_a_router_too(folder: Path, run, query) -> None:
    assert run("simulate.py", "--policy", "uniform", "--requests", 1500, "--out", "simulated").returncode == 0
    assert run("ingest.py", "simulated").returncode == 0
    result = run("train.py", "--log", "data/logs", "--encoder", "hashing")
    assert result.returncode == 0, result.stderr
    assert "registered models:/beast-router/1" in result.stdout
    assert query("select value from tags where key = 'kind of run' and value like 'training%'") == [
        ("training from a log",)
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train.py", "--outcomes", "none.parquet"], "none.parquet"),
        (["train.py", "--log", "logs", "--test", "b.parquet"], "--test goes with --outcomes"),
        (["register.py", "nothing", "--evidence", "none.json"], "none.json"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(run, query, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert query("select name from runs") == []
