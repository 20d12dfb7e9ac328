import json

import msgspec
import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.off_policy.evaluate import evaluate_policy
from beast_ml.evaluation.off_policy.outcome_model import predict_outcomes
from beast_ml.evaluation.off_policy.plot import draw_evaluation
from beast_ml.evaluation.off_policy.read import read_policy_data
from beast_ml.features.hashing import HashingEncoder
from beast_ml.predictors.pooled_ridge import RidgePrior

NAMES = {"dm", "ips", "snips", "clipped_ips", "dr", "switch_dr"}


def evaluated(paths, metric="quality"):
    data = read_policy_data(*paths, metric)
    found = evaluate_policy(data, HashingEncoder(), n_resamples=200)
    return found, json.loads(msgspec.json.encode(found.report(metric, data.usage)))


def test_the_report_has_every_estimator_with_its_interval_and_the_verdict(files, tmp_path):
    found, report = evaluated(files())
    assert set(report["estimators"]) == NAMES
    for one in report["estimators"].values():
        assert one["low"] <= one["value"] <= one["high"]
        assert one["ess"] > 0
    dr = report["estimators"]["dr"]
    assert dr["low"] <= 0.75 * 0.9 + 0.25 * 0.7 <= dr["high"]
    assert report["verdict"]["answer"] == "trust"
    assert report["gain"]["low"] > 0
    draw_evaluation(tmp_path / "policy.png", found, "quality")
    assert (tmp_path / "policy.png").read_bytes()[:4] == b"\x89PNG"


def test_costs_are_estimated_in_their_unit(files):
    _, report = evaluated(files(), "cost_usd")
    dr = report["estimators"]["dr"]
    assert dr["low"] <= 0.75 * 1.5 + 0.25 * 1.0 <= dr["high"]
    assert report["metric"] == "cost_usd"


def test_missing_labels_bring_the_prediction_powered_estimate(files):
    def forget(log):
        log["quality"] = [value if i % 3 else None for i, value in enumerate(log["quality"])]

    _, report = evaluated(files(forget))
    assert set(report["estimators"]) == {*NAMES, "ppi"}
    assert report["labels"]["missing"] == 100
    assert 0 <= report["labels"]["saved_by_predictions"] < 1


def test_a_log_without_labels_is_refused(files):
    with pytest.raises(NotEnoughDataError, match="0 of 300 usable requests have a label"):
        evaluated(files(lambda log: log.update(quality=[None] * 300)))


def test_withheld_prompts_are_no_obstacle(files):
    _, report = evaluated(files(lambda log: log.update(prompt=[None] * 300)))
    dr = report["estimators"]["dr"]
    assert dr["low"] <= 0.85 <= dr["high"]


def test_a_policy_that_was_never_tried_gets_no_bounds_it_does_not_deserve(files):
    _, report = evaluated(
        files(
            None,
            lambda t: t.update(model=["small", "medium"] * 300, probability=[1.0, 0.0] * 300),
            shares=(0.5, 0.5, 0),
        )
    )
    assert report["verdict"]["answer"] == "cannot be answered by this log"
    assert report["estimators"]["snips"]["value"] is None
    for each in (*report["estimators"].values(), report["gain"]):
        assert each["low"] is each["high"] is None
        assert set(map(tuple, each["intervals"].values())) == {(None, None)}
    assert report["logging_policy"]["low"] is not None


def test_the_same_files_and_seed_give_the_same_report(files):
    paths = files()
    assert evaluated(paths)[1] == evaluated(paths)[1]


def test_no_prediction_depends_on_the_outcome_of_its_own_fold():
    rng = np.random.default_rng(0)
    columns, chosen, folds = rng.standard_normal((200, 4)), rng.integers(2, size=200), np.arange(200) % 5
    reward = rng.random(200)
    changed = np.where(folds == 0, 1 - reward, reward)
    prior = RidgePrior(2.5, 25.0)
    before, after = (predict_outcomes(columns, each, chosen, 2, folds, 0.0, 1.0, prior) for each in (reward, changed))
    np.testing.assert_allclose(before[folds == 0], after[folds == 0])
    assert not np.allclose(before[folds == 1], after[folds == 1], atol=1e-6)
