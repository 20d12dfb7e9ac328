"""`beast evaluate routing` as a user runs it, with all families; what else it says is looked at in tests/unit/cli."""

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


HASHING = ("--encoder", "hashing")  # needs no weights


def evaluate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from beast_ml.cli.main import run; run()", "evaluate", "routing"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_tables_go_in_and_decisions_a_report_and_a_picture_come_out(files: tuple[Path, Path], tmp_path: Path) -> None:
    train, test = files
    result = evaluate("--train", train, "--test", test, "--out", tmp_path / "out", *HASHING)
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


def test_mlflow_is_not_loaded() -> None:
    code = (
        "import sys, beast_ml.cli.main, beast_ml.evaluation.routing, beast_ml.evaluation.outcome_files\n"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
