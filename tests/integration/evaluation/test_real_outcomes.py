"""Routing evaluated on published outcomes of real models."""

import os
from pathlib import Path

import numpy as np
import pytest

from beast_ml.evaluation.outcome_files import read_outcome_set
from beast_ml.evaluation.routing import RoutingConfig, RoutingEvaluation, evaluate_routing
from beast_ml.logs.splits import holdout_mask
from beast_ml.policy.learner import RouterLearner, get_encoder

DATA = os.environ.get("BEAST_DATA_DIR")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="BEAST_DATA_DIR is not set: no real outcome sets"),
]


@pytest.fixture(scope="module")
def evaluation() -> RoutingEvaluation:
    outcomes = read_outcome_set(Path(str(DATA)) / "routerbench3" / "outcomes.parquet").matrix
    held_out = holdout_mask(outcomes.prompts, 0.4, 0)
    train, test = outcomes.rows(~held_out), outcomes.rows(held_out)
    return evaluate_routing(train, test, RouterLearner("static"), get_encoder("static"), RoutingConfig())


def test_routers_close_part_of_the_gap_and_coins_and_single_models_do_not(evaluation: RoutingEvaluation) -> None:
    for router in ("beast", "knn", "best_per_task"):
        assert evaluation.scores[router].curve["share_of_gap"].low > 0, router
    for router in ("random", f"single:{evaluation.verdict.model}"):
        assert evaluation.scores[router].curve["share_of_gap"].high < 0, router


def test_the_best_single_model_is_gpt_4_and_is_nearly_matched_for_less(evaluation: RoutingEvaluation) -> None:
    assert evaluation.verdict.model == "gpt-4-1106-preview"
    assert len(evaluation.pool.models) == 11
    at = evaluation.scores["beast"].operating
    assert at["quality_gain"].value > -0.02
    assert at["saving"].value >= 0


def test_predictions_are_nearly_calibrated_and_costs_mostly_explained(evaluation: RoutingEvaluation) -> None:
    ours = evaluation.scores["beast"]
    assert ours.calibration is not None
    assert ours.calibration.ece.value < ours.calibration.ece_floor_high + 0.02
    assert ours.calibration.auc.value > 0.6
    assert ours.cost_accuracy is not None
    assert ours.cost_accuracy.log_r2.value > 0.5


def test_queries_that_some_model_did_not_answer_are_decided_and_not_scored(evaluation: RoutingEvaluation) -> None:
    n = len(evaluation.query_ids)
    assert 0 < evaluation.scored.sum() < n
    assert all(router.points.shape[1] == len(router.operating) == n for router in evaluation.decisions)
    assert np.array_equal(evaluation.query_ids, np.sort(evaluation.query_ids))
