"""`beast evaluate routing` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

WORDS = {
    "maths": ["integral", "prime", "sum", "matrix", "angle", "proof"],
    "chat": ["hello", "weather", "story", "joke", "dinner", "holiday"],
}


def outcomes(n: int, seed: int) -> pd.DataFrame:
    """The small model chats as well as the large one, and cannot count."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        task = ("maths", "chat")[int(rng.integers(2))]
        prompt = " ".join(rng.choice(WORDS[task], size=7)) + f" {seed}-{i}"
        luck = rng.random()
        for model, price, skill in (("large", 1e-2, 0.9), ("small", 1e-3, 0.95 if task == "chat" else 0.1)):
            rows.append(
                {
                    "query_id": f"s{seed}-{i:04d}",
                    "task": task,
                    "prompt": prompt,
                    "model": model,
                    "quality": float(luck < skill),
                    "cost_usd": price * rng.uniform(0.9, 1.1),
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("outcomes")
    train, test = folder / "a.parquet", folder / "b.parquet"
    outcomes(300, 1).to_parquet(train)
    held_out = outcomes(120, 2)
    held_out.loc[held_out.query_id == "s2-0007", "quality"] = np.nan  # refused rows; still a query to decide
    held_out.to_parquet(test)
    return train, test


def beast(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from beast_ml.cli.main import run; run()", "evaluate", "routing"]
    hashing = ("--encoder", "hashing")  # needs no weights
    return subprocess.run([*command, *map(str, arguments), *hashing], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tables_go_in_and_decisions_a_report_and_a_picture_come_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    result = beast("--train", train, "--test", test, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "best single model" in result.stdout
    assert "119 of 120 test queries scored" in result.stdout
    assert "warning: 2 of 240 rows" in result.stderr
    decisions = pq.read_table(tmp_path / "out" / "decisions.parquet").to_pandas()
    ours = decisions[decisions.router == "beast"]
    assert (ours.groupby("tradeoff").query_id.nunique() == 120).all()
    assert "s2-0007" in set(ours.query_id)
    assert (tmp_path / "out" / "frontier.png").stat().st_size > 5000
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["verdict"]["sentence"] in " ".join(result.stdout.split("\n"))
    assert report["data"]["files"]["test"]["refused"]


@pytest.mark.slow
def test_queries_without_labels_are_decided_and_the_missing_verdict_is_explained(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    train, test = files
    bare = tmp_path / "bare.parquet"
    pd.read_parquet(test)[["query_id", "prompt"]].drop_duplicates().to_parquet(bare)
    out = tmp_path / "out"
    result = beast("--train", train, "--test", bare, "--out", out)
    assert result.returncode == 0, result.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["verdict"]["pays"] is None
    assert report["verdict"]["sentence"] in " ".join(result.stdout.split("\n"))
    assert "warning: nothing could be scored" in result.stderr
    assert "frontier.png" not in result.stdout
    assert pq.read_table(out / "decisions.parquet").to_pandas().query_id.nunique() == 120


@pytest.mark.slow
def test_programs_get_json_and_nothing_else_on_standard_output(files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    result = beast(
        "--train", train, "--test", test, "--out", tmp_path, "--json", "--use-task", "--cost", "none", "--seed", 3,
        "--pool", "small, large",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
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
    files: tuple[Path, Path], tmp_path: Path, options: list[str], says: str
) -> None:
    train, test = files
    command = [sys.executable, "-c", "from beast_ml.cli.main import run; run()", "evaluate", "routing"]
    arguments = [*map(str, ("--train", train, "--test", test, "--out", tmp_path / "out")), *options]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_mlflow_is_not_loaded() -> None:
    code = (
        "import sys, beast_ml.cli.main, beast_ml.evaluation.routing, beast_ml.evaluation.outcome_files\n"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
