import json
from pathlib import Path


def test_the_tiny_variant_runs_anywhere_and_leaves_one_run(folder, run, query) -> None:
    result = run("simulate.py", "--out", "simulated", "--policy", "uniform")
    assert result.returncode == 0, result.stderr
    assert "2,000 requests" in result.stdout
    description = json.loads((folder / "simulated" / "simulation.json").read_text())
    assert description["policy_version"] == "simulated:uniform"
    assert query("select name, status from runs") == [("simulate", "FINISHED")]
    metrics = dict(query("select key, value from metrics"))
    assert metrics["true_value/quality"] == description["true_value"]["logging_policy"]["quality"]


def test_a_folder_that_is_in_use_is_one_sentence_and_exit_code_2(folder: Path, run, query) -> None:
    (folder / "simulated").mkdir()
    (folder / "simulated" / "mine.txt").write_text("keep")
    result = run("simulate.py", "--out", "simulated")
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert (folder / "simulated" / "mine.txt").read_text() == "keep"
    assert query("select name from runs") == []


def test_the_sample_can_be_made_again(folder: Path, run) -> None:
    assert "sample written" in run("simulate.py", "--sample", "sample").stdout
    assert sorted(path.name for path in (folder / "sample").iterdir()) == ["outcomes.parquet", "requests.jsonl"]
