"""What the simulator writes, ingest accepts: the two halves of the log contract agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from beast_ml.logs.ingest import ingest
from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import (
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    SimulationConfig,
    TrafficConfig,
    write_simulation,
)
from beast_ml.logs.store import LogStore

SAMPLE = Path(__file__).parents[3] / "data" / "sample" / "outcomes.parquet"


def test_a_simulated_log_is_accepted_whole_and_is_the_same_in_both_formats(tmp_path: Path) -> None:
    outcomes = OutcomeMatrix.from_frame(read_outcomes(SAMPLE).frame)
    config = SimulationConfig(
        requests=2_000,
        policy=PolicyConfig(kind="softmax"),
        traffic=TrafficConfig(paraphrase_share=0.2),
        failures=FailureConfig(rate=0.1),
        labels=LabelConfig(share=0.5, mean_delay_h=2.0),
    )
    write_simulation(outcomes, config, 0, tmp_path / "parquet")
    write_simulation(outcomes, config, 0, tmp_path / "jsonl", form="jsonl")
    store = LogStore(tmp_path / "store")
    first = ingest([tmp_path / "parquet"], store, tmp_path / "quarantine")
    assert (first.n_accepted, first.n_quarantined) == (2_000, 0)
    second = ingest([tmp_path / "jsonl" / "requests.jsonl"], store, tmp_path / "quarantine")
    assert (second.n_accepted, second.n_duplicates, second.n_quarantined) == (0, 2_000, 0)
    assert LogStore(tmp_path / "parquet").requests().equals(store.requests())


def test_what_is_learnt_from_is_what_the_simulator_drew(tmp_path: Path) -> None:
    outcomes = OutcomeMatrix.from_frame(read_outcomes(SAMPLE).frame)
    write_simulation(outcomes, SimulationConfig(requests=500, policy=PolicyConfig(kind="uniform")), 1, tmp_path / "log")
    data = LogStore(tmp_path / "log").logged_outcomes()
    assert data.matrix.models == outcomes.models
    assert not data.failed.any()
    np.testing.assert_allclose(data.propensity, 1 / data.candidates.sum(axis=1))
    rows = np.arange(len(data.chosen))
    assert np.isfinite(data.matrix.quality[rows, data.chosen]).all()
    assert np.isfinite(data.matrix.quality).sum() == 500
