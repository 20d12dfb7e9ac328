import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "pipelines" / "evaluate.py"


@pytest.mark.slow
def test_the_tiny_variant_leaves_its_files_and_one_run(folder, run, query) -> None:
    result = run("evaluate.py", "--out", "out", "--encoder", "hashing")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (folder / "out").iterdir()} == {"decisions.parquet", "frontier.png", "report.json"}
    verdict = json.loads((folder / "out" / "report.json").read_text())["verdict"]
    assert verdict["sentence"] in result.stdout
    assert query("select name, status from runs") == [("evaluate outcomes", "FINISHED")]
    metrics = {name for (name,) in query("select distinct key from metrics")}
    assert {"beast/aiq", "knn/aiq", "oracle/aiq", "beast/quality_gain"} <= metrics
    tags = dict(query("select key, value from tags"))
    assert tags["verdict"] == verdict["sentence"]
    assert tags["routing pays"] == ("yes" if verdict["pays"] else "no")


def test_a_file_that_is_not_there_is_one_sentence_and_exit_code_2(folder, query) -> None:
    command = [sys.executable, str(SCRIPT), "--train", "none.parquet", "--out", "out"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert "none.parquet" in result.stderr
    assert query("select name from runs") == []
