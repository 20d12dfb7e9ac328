import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "pipelines" / "evaluate.py"


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.slow
def test_the_tiny_variant_leaves_its_files_and_one_run(tmp_path: Path) -> None:
    result = run(tmp_path, "--out", "out", "--encoder", "hashing")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "decisions.parquet",
        "frontier.png",
        "report.json",
    }
    verdict = json.loads((tmp_path / "out" / "report.json").read_text())["verdict"]
    assert verdict["sentence"] in result.stdout
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = database.execute("select name, status from runs").fetchall()
        metrics = {name for (name,) in database.execute("select distinct key from metrics")}
        tags = dict(database.execute("select key, value from tags").fetchall())
    assert runs == [("evaluate outcomes", "FINISHED")]
    assert {"beast/aiq", "knn/aiq", "oracle/aiq", "beast/quality_gain"} <= metrics
    assert tags["verdict"] == verdict["sentence"]


def test_a_file_that_is_not_there_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    result = run(tmp_path, "--train", "none.parquet", "--out", "out")
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert "none.parquet" in result.stderr
