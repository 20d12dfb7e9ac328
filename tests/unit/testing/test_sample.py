import json
from pathlib import Path
from typing import Any

import pandas as pd

from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.testing.sample import write_sample

COMMITTED = Path(__file__).parents[3] / "data" / "sample"
AGAIN = "python pipelines/simulate.py --sample data/sample"


def requests(folder: Path) -> list[Any]:
    lines = (folder / "requests.jsonl").read_text("utf-8").splitlines()
    # Six digits: the last bits of an exponential differ between processors.
    return [json.loads(line, parse_float=lambda text: f"{float(text):.6g}") for line in lines]


def test_the_committed_sample_is_the_one_that_is_made_here(tmp_path: Path) -> None:
    write_sample(tmp_path)
    made, kept = (pd.read_parquet(folder / "outcomes.parquet") for folder in (tmp_path, COMMITTED))
    pd.testing.assert_frame_equal(made, kept)
    assert requests(tmp_path) == requests(COMMITTED), f"make it again: {AGAIN}"


def test_the_sample_is_clean_and_shows_a_trade_off() -> None:
    ingest = read_outcomes(COMMITTED / "outcomes.parquet")
    assert (ingest.n_accepted, ingest.n_quarantined, ingest.n_duplicates) == (270, 0, 0)
    means = ingest.frame.groupby("model")[["quality", "cost_usd"]].mean()
    assert means.sort_values("cost_usd")["quality"].is_monotonic_increasing


def test_the_sample_log_shows_every_kind_of_row() -> None:
    rows = pd.read_json(COMMITTED / "requests.jsonl", lines=True)
    assert len(rows) == 300
    assert {"ok", "rejected"} <= set(rows["status"])
    assert (rows["served_model"].notna() & (rows["served_model"] != rows["chosen_model"])).any()
    assert 0 < rows["quality"].notna().mean() < 1
