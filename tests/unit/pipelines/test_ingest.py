import json
from pathlib import Path

SAMPLE = Path(__file__).parents[3] / "data" / "sample" / "requests.jsonl"


def test_the_tiny_variant_fills_the_store_and_leaves_one_run(folder, run, query) -> None:
    result = run("ingest.py", SAMPLE)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    accepted = document["ingest"]["n_accepted"]
    assert accepted == document["store"]["n_requests"] > 0
    assert list((folder / "data" / "logs").rglob("*.parquet"))
    assert query("select name, status from runs") == [("ingest", "FINISHED")]
    metrics = dict(query("select key, value from metrics"))
    assert metrics["ingest/n_accepted"] == metrics["store/requests"] == accepted
    [stored] = folder.rglob("ingest.json")
    assert json.loads(stored.read_text()) == document


def test_the_same_file_again_adds_nothing(run) -> None:
    run("ingest.py", SAMPLE)
    again = json.loads(run("ingest.py", SAMPLE).stdout)
    assert again["ingest"]["n_accepted"] == 0
    assert again["ingest"]["n_duplicates"] == again["store"]["n_requests"]


def test_a_file_that_is_not_there_is_one_sentence_and_exit_code_2(run, query) -> None:
    result = run("ingest.py", "none.jsonl")
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert "none.jsonl" in result.stderr
    assert query("select name from runs") == []
