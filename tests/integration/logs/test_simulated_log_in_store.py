"""Simulated logs are read by the log store as they lie, and keep every rule of ingest."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest

from beast_ml.logs.ingest import ingest
from beast_ml.logs.simulate import FailureConfig, LabelConfig, SimulationConfig, TrafficConfig, write_simulation
from beast_ml.logs.store import LogStore
from beast_ml.testing.outcome_sets import random_outcomes

OUTCOMES = random_outcomes(np.random.default_rng(0))
CONFIG = SimulationConfig(
    requests=800,
    chunk_rows=100,
    traffic=TrafficConfig(rejected_rate=0.05, paraphrase_share=0.2),
    failures=FailureConfig(rate=0.3, max_attempts=2),
    labels=LabelConfig(share=0.5, mean_delay_h=5.0),
)


def test_the_store_reads_the_folder_as_it_lies(tmp_path: Path) -> None:
    summary = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    store = LogStore(tmp_path / "log")
    counts = summary.description["counts"]
    assert store.count() == 800
    assert store.count(where="status = 'ok'") == counts["status"]["ok"]
    assert len(store.days()) == len(list((tmp_path / "log").glob("day=*")))
    received = store.requests(["received_at"])["received_at"].to_pylist()
    assert received == sorted(received)


def test_what_is_learnt_from_the_store_is_the_truth_behind_it(tmp_path: Path) -> None:
    write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    logged = LogStore(tmp_path / "log").logged_outcomes()
    truth = pq.read_table(tmp_path / "log" / "truth" / "requests.parquet").to_pylist()
    query_of = {row["request_id"]: row["query_id"] for row in truth}
    rows = [OUTCOMES.query_ids.tolist().index(query_of[request]) for request in logged.matrix.query_ids.tolist()]
    assert logged.matrix.models == OUTCOMES.models
    assert (logged.candidates == ~np.isnan(OUTCOMES.quality[rows])).all()
    known = ~np.isnan(logged.matrix.quality)
    assert np.array_equal(logged.matrix.quality[known], OUTCOMES.quality[rows][known])
    assert 0 < logged.failed.mean() < 0.5


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_ingest_accepts_every_row(tmp_path: Path, form: Literal["parquet", "jsonl"]) -> None:
    write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log", form=form)
    path = tmp_path / "log" if form == "parquet" else tmp_path / "log" / "requests.jsonl"
    store = LogStore(tmp_path / "store")
    done = ingest([path], store, tmp_path / "quarantine")
    assert (done.n_accepted, done.n_quarantined, done.n_duplicates) == (800, 0, 0), done.quarantined
    again = ingest([path], store, tmp_path / "quarantine")
    assert (again.n_accepted, again.n_duplicates) == (0, 800)
