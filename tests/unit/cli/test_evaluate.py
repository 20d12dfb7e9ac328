"""What `beast evaluate routing` says, of routers with hardly any weights."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from beast_ml.testing.cli_fixtures import Run
from beast_ml.testing.worlds import make_world

HASHING = ("--encoder", "hashing")  # needs no weights


def outcomes(n: int, seed: int) -> pd.DataFrame:
    """Return outcomes of the large and the small model, as an outcome table."""
    world = make_world(np.random.default_rng(seed), n, prefix=f"s{seed}-").outcomes
    return pd.concat(
        pd.DataFrame(
            {
                "query_id": world.query_ids,
                "task": world.tasks,
                "prompt": world.prompts,
                "model": model,
                "quality": world.quality[:, column],
                "cost_usd": world.cost_usd[:, column],
            }
        )
        for column, model in enumerate(world.models)
        if model != "medium"
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("outcomes")
    train, test = folder / "a.parquet", folder / "b.parquet"
    outcomes(200, 1).to_parquet(train)
    outcomes(120, 2).to_parquet(test)
    return train, test


@pytest.mark.usefixtures("tiny_routers")
def test_queries_without_labels_are_decided_and_the_missing_verdict_is_explained(
    files: tuple[Path, Path], tmp_path: Path, beast: Run
) -> None:
    train, test = files
    bare = tmp_path / "bare.parquet"
    pd.read_parquet(test)[["query_id", "prompt"]].drop_duplicates().to_parquet(bare)
    out = tmp_path / "out"
    code, said, warned = beast("evaluate", "routing", "--train", train, "--test", bare, "--out", out, *HASHING)
    assert code == 0, warned
    report = json.loads((out / "report.json").read_text())
    assert report["verdict"]["pays"] is None
    assert report["verdict"]["sentence"] in " ".join(said.split("\n"))
    assert "warning: nothing could be scored" in warned
    assert "frontier.png" not in said
    assert pq.read_table(out / "decisions.parquet").to_pandas().query_id.nunique() == 120


@pytest.mark.usefixtures("tiny_routers")
def test_programs_get_json_and_nothing_else_on_standard_output(
    files: tuple[Path, Path], tmp_path: Path, beast: Run
) -> None:
    train, test = files
    code, said, warned = beast(
        "evaluate", "routing", "--train", train, "--test", test, "--out", tmp_path, "--json", "--use-task",
        "--cost", "none", "--seed", 3, "--pool", "small, large", *HASHING,
    )  # fmt: skip
    assert code == 0, warned
    report = json.loads(said)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["settings"]["seed"] == 3
    assert report["settings"]["context"] == ["task"]
    assert report["cost"]["kind"] == "none"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cost", "euros"], "`--cost` == 'euros', must be one of cost_usd, latency_s, none"),
        (["--encoder", "psychic"], "`--encoder` == 'psychic'"),
        (["--pool", "large,huge"], "no outcome of model 'huge'"),
        (["--pool", "large"], "routing needs at least two models"),
        (["--cost", "latency_s"], "no model of the training data has any latency_s"),
        (["--train", "none.parquet"], "none.parquet"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    files: tuple[Path, Path], tmp_path: Path, beast: Run, options: list[str], says: str
) -> None:
    train, test = files
    code, _, error = beast("evaluate", "routing", "--train", train, "--test", test, "--out", tmp_path / "out", *options)
    assert code == 2
    assert says in " ".join(error.split())
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
