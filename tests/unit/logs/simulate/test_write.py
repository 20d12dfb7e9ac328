import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from beast_ml.errors import DataError, InputError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.simulate import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    SimulationConfig,
    TrafficConfig,
    write_simulation,
)
from beast_ml.logs.simulate.truth import PolicyValue, counterfactuals, policy_value
from beast_ml.testing.outcome_sets import random_outcomes

OUTCOMES = random_outcomes(np.random.default_rng(0))
CONFIG = SimulationConfig(
    requests=500,
    chunk_rows=64,
    arrivals=ArrivalConfig(kind="diurnal", days=3),
    policy=PolicyConfig(kind="softmax"),
    traffic=TrafficConfig(rejected_rate=0.05),
    failures=FailureConfig(rate=0.2),
    labels=LabelConfig(share=0.5),
)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def log_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(folder.glob("day=*/part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def test_the_log_is_partitioned_by_day_and_whole(tmp_path: Path) -> None:
    seen: list[int] = []
    summary = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log", on_progress=seen.append)
    assert sum(seen) == 500
    days = sorted(path.name for path in summary.folder.glob("day=*"))
    assert days[:3] == ["day=2026-01-05", "day=2026-01-06", "day=2026-01-07"]
    parts = sorted(summary.folder.glob("day=*/part-*.parquet"))
    assert all(pq.read_schema(part).equals(REQUEST_SCHEMA) for part in parts)
    for part in parts:
        received = pq.read_table(part)["received_at"].to_pylist()
        assert {f"day={time:%Y-%m-%d}" for time in received} == {part.parent.name}
    assert len({row["request_id"] for row in log_rows(summary.folder)}) == 500


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_simulation(OUTCOMES, CONFIG, 7, tmp_path / name)
    write_simulation(OUTCOMES, CONFIG, 8, tmp_path / "c")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_json_lines_hold_the_same_requests(tmp_path: Path) -> None:
    parquet = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "parquet")
    lines = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "lines", form="jsonl")
    assert parquet.description == lines.description
    rows = [json.loads(line) for line in (lines.folder / "requests.jsonl").read_text().splitlines()]
    expected = log_rows(parquet.folder)
    assert [row["request_id"] for row in rows] == [row["request_id"] for row in expected]
    assert [row.get("quality") for row in rows] == [row["quality"] for row in expected]
    assert rows[0]["received_at"].endswith("Z")
    assert {tuple(row["context"]) for row in rows} == {(), ("task",)}


def test_the_description_counts_what_is_in_the_log(tmp_path: Path) -> None:
    summary = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    counts = summary.description["counts"]
    rows = log_rows(summary.folder)
    assert counts["status"] == Counter(row["status"] for row in rows)
    assert counts["served_by_fallback"] == sum(r["served_model"] not in (None, r["chosen_model"]) for r in rows)
    assert counts["labelled"] == sum(r["quality"] is not None for r in rows)
    assert json.loads((summary.folder / "simulation.json").read_text()) == summary.description


def test_the_counterfactuals_give_the_true_values(tmp_path: Path) -> None:
    summary = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    frame = counterfactuals(summary.folder / "truth").to_pandas()
    routed = frame[frame["routed"]]
    n_routed = routed["request_id"].nunique()
    values = summary.description["true_value"]
    assert values["n_requests"] == n_routed
    logging = (routed["quality"] * routed["logging_probability"]).sum() / n_routed
    assert values["logging_policy"]["quality"] == pytest.approx(logging)
    only = routed[routed["model"] == "m2"]
    assert values["single_models"]["m2"]["quality"] == pytest.approx(only["quality"].mean())
    assert values["single_models"]["m2"]["share"] == pytest.approx(len(only) / n_routed)
    assert routed.groupby("request_id")["logging_probability"].sum().to_numpy() == pytest.approx(1.0)


def test_counterfactuals_of_some_requests(tmp_path: Path) -> None:
    summary = write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    ids = pq.read_table(summary.folder / "truth" / "requests.parquet")["request_id"].to_pylist()[:3]
    table = counterfactuals(summary.folder / "truth", ids)
    assert sorted(set(table["request_id"].to_pylist())) == ids
    with pytest.raises(DataError, match="is not the truth folder"):
        counterfactuals(tmp_path)


def test_a_value_that_is_not_known_is_none(tmp_path: Path) -> None:
    from beast_ml.logs.simulate import Simulation

    outcomes = replace(OUTCOMES, cost_usd=np.full((40, 4), np.nan))
    simulation = Simulation(outcomes, CONFIG, np.random.default_rng(0))
    asked = np.ones(40, dtype=np.int64)
    assert policy_value(simulation, simulation.policy.probabilities, asked).cost_usd is None
    assert policy_value(simulation, np.zeros((40, 4)), asked) == PolicyValue(None, None, None, 0.0)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder; choose another"):
        write_simulation(OUTCOMES, CONFIG, 0, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_half_written_survives(tmp_path: Path) -> None:
    def fail(_n: int) -> None:
        raise RuntimeError("disk gone")

    (tmp_path / "log").mkdir()
    with pytest.raises(RuntimeError, match="disk gone"):
        write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log", on_progress=fail)
    assert list(tmp_path.rglob("*")) == [tmp_path / "log"]
    write_simulation(OUTCOMES, CONFIG, 0, tmp_path / "log")
    assert (tmp_path / "log" / "simulation.json").is_file()
