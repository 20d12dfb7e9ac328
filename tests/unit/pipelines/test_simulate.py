import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "pipelines" / "simulate.py"


def run(*arguments: object) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_tiny_variant_runs_anywhere(tmp_path: Path) -> None:
    out = tmp_path / "simulated"
    assert "2,000 requests" in run("--out", out, "--policy", "uniform")
    assert json.loads((out / "simulation.json").read_text())["policy_version"] == "simulated:uniform"


def test_the_sample_can_be_made_again(tmp_path: Path) -> None:
    assert "sample written" in run("--sample", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcomes.parquet", "requests.jsonl"]
