import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beast_ml.features.hashing import HashingEncoder


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return a log of two models, and a target that takes the one that was chosen a tenth of the time."""
    monkeypatch.setattr("beast_ml.features.distill.static_encoder", lambda *_, **__: HashingEncoder())
    rng = np.random.default_rng(0)
    n = 400
    second = rng.random(n) < 0.1
    log = pa.table(
        {
            "request_id": [f"r{i}" for i in range(n)],
            "chosen_model": np.where(second, "small", "large").tolist(),
            "propensity": np.where(second, 0.1, 0.9),
            "candidates": [["large", "small"]] * n,
            "prompt": [f"question {i}" for i in range(n)],
            "quality": (rng.random(n) < np.where(second, 0.4, 0.8)).astype(float),
            "cost_usd": rng.random(n),
        }
    )
    target = pa.table({"request_id": log["request_id"], "model": ["small"] * n, "probability": [1.0] * n})
    pq.write_table(log, tmp_path / "log.parquet")
    pq.write_table(target, tmp_path / "target.parquet")
    return "--log", tmp_path / "log.parquet", "--target", tmp_path / "target.parquet", "--out", tmp_path / "out"


def test_people_get_a_table_a_verdict_and_advice(files, beast, tmp_path):
    code, out, _ = beast("evaluate", "policy", *files)
    assert code == 0
    assert "DR" in out
    assert "Widen exploration" in out
    assert "epsilon = " in out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"dm", "ips", "snips", "dr"} <= set(report["estimators"])
    assert all({"value", "low", "high", "ess"} <= set(one) for one in report["estimators"].values())
    assert (tmp_path / "out" / "policy.png").is_file()


def test_programs_get_the_report(files, beast, tmp_path):
    code, out, _ = beast("evaluate", "policy", *files, "--metric", "cost_usd", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "report.json").read_text())


def test_a_wrong_metric_is_the_user_s_to_mend(files, beast):
    code, _, err = beast("evaluate", "policy", *files, "--metric", "happiness")
    assert code == 2
    assert "quality, cost_usd" in err


def test_left_out_requests_are_told(files, beast, tmp_path):
    log = pq.read_table(tmp_path / "log.parquet")
    propensity = log["propensity"].to_pylist()
    propensity[3] = 0.0
    pq.write_table(log.set_column(2, "propensity", pa.array(propensity)), tmp_path / "log.parquet")
    code, _, err = beast("evaluate", "policy", *files)
    assert code == 0
    assert "a propensity of 0 or less: 1" in err


def change(path, **columns):
    """Replace columns of a log by others."""
    log = pq.read_table(path)
    for name, values in columns.items():
        log = log.set_column(log.column_names.index(name), name, pa.array(values))
    pq.write_table(log, path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"propensity": pa.nulls(400, pa.float64())}, "none of 400 requests"),
        ({"propensity": [0.0] * 400}, "(a propensity of 0 or less: 400): mend"),
        ({"propensity": [1.5] * 400}, "(a propensity above 1: 400): mend"),
        ({"quality": pa.nulls(400, pa.float64())}, "0 of 400 usable requests have a label"),
        ({"chosen_model": pa.nulls(400, pa.string())}, "no request has a choice"),
    ],
)
def test_a_log_that_tells_nothing_is_refused_with_the_reason(files, beast, tmp_path, columns, words):
    change(tmp_path / "log.parquet", **columns)
    code, _, err = beast("evaluate", "policy", *files)
    assert code == 2
    assert words in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_a_log_of_which_much_is_broken_is_not_trusted(files, beast, tmp_path):
    propensity = pq.read_table(tmp_path / "log.parquet")["propensity"].to_pylist()
    propensity[::5] = [1.5] * 80
    change(tmp_path / "log.parquet", propensity=propensity)
    code, out, err = beast("evaluate", "policy", *files)
    assert code == 0
    assert "a propensity above 1: 80" in err
    assert "Cannot be answered by this log: 20.0% of its requests cannot be used" in " ".join(out.split())


def test_a_model_that_was_never_tried_is_named(files, beast, tmp_path):
    change(tmp_path / "log.parquet", candidates=[["large", "medium", "small"]] * 400)
    change(tmp_path / "target.parquet", model=["medium"] * 400)
    code, out, _ = beast("evaluate", "policy", *files)
    told = " ".join(out.split())
    assert code == 0
    assert "Cannot be answered by this log: about 100% of this policy's choices, most of them of 'medium'" in told
