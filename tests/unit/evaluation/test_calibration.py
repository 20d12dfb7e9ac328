import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.calibration import calibrate_quality, weighted_auc

MODELS = ("a", "b")


def calibrated(n=3000, shift=0.0, seed=0, graded=False):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.1, 0.9, (n, 2))
    realised = np.clip(truth + 0.1 * rng.standard_normal((n, 2)), 0, 1) if graded else rng.random((n, 2)) < truth
    draws = QueryBootstrap.draw(np.random.default_rng(1), n, 200)
    predicted = np.clip(truth + shift, 0, 1)
    return calibrate_quality(MODELS, predicted, realised.astype(float), draws, np.random.default_rng(2))


@pytest.mark.parametrize("seed", range(3))
def test_a_calibrated_predictor_stays_near_its_sampling_floor(seed):
    found = calibrated(seed=seed)
    assert found.ece.value < 1.5 * found.ece_floor_high
    assert 0 < found.ece_floor < found.ece_floor_high < 0.03


def test_a_shifted_predictor_is_found_out_by_as_much():
    found = calibrated(shift=0.1)
    assert found.ece.value == pytest.approx(0.1, abs=0.02)
    assert found.ece.value > 3 * found.ece_floor_high
    assert found.ece.low < found.ece.value < found.ece.high


def test_the_floor_shrinks_with_the_square_root_of_the_data():
    assert calibrated(400).ece_floor / calibrated(6400).ece_floor == pytest.approx(4, rel=0.35)


def test_graded_quality_is_calibrated_like_right_and_wrong():
    found = calibrated(graded=True)
    assert found.ece.value < 0.02
    assert found.ece_floor < 0.01


def test_alike_answers_of_the_models_do_not_make_the_floor_smaller():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 0.9, (1000, 1))
    luck = rng.random((1000, 1)) < truth
    draws = QueryBootstrap.draw(np.random.default_rng(1), 1000, 10)
    one = calibrate_quality(("a",), truth, luck.astype(float), draws, np.random.default_rng(2))
    copies = calibrate_quality(
        tuple("abcd"), truth.repeat(4, 1), luck.repeat(4, 1).astype(float), draws, np.random.default_rng(2)
    )
    assert copies.ece_floor == pytest.approx(one.ece_floor, rel=0.05)
    assert copies.ece.value == pytest.approx(one.ece.value, rel=0.01)


def test_brier_and_auc_are_the_textbook_ones_per_model_and_overall():
    rng = np.random.default_rng(3)
    predicted = rng.random((500, 2)).round(1)  # rounded: ties must count half
    realised = (rng.random((500, 2)) < predicted).astype(float)
    draws = QueryBootstrap.draw(np.random.default_rng(1), 500, 50)
    found = calibrate_quality(MODELS, predicted, realised, draws, np.random.default_rng(2))
    each = [roc_auc_score(realised[:, i], predicted[:, i]) for i in range(2)]
    assert [found.per_model[model]["auc"] for model in MODELS] == pytest.approx(each)
    assert found.auc.value == pytest.approx(np.mean(each))
    assert found.auc.low < found.auc.value < found.auc.high
    assert found.brier.value == pytest.approx(((predicted - realised) ** 2).mean())


def test_a_model_that_is_always_right_has_no_auc_and_does_not_spoil_the_mean():
    rng = np.random.default_rng(3)
    predicted = rng.random((200, 2))
    realised = np.column_stack([np.ones(200), rng.random(200) < 0.5]).astype(float)
    draws = QueryBootstrap.draw(np.random.default_rng(1), 200, 20)
    found = calibrate_quality(MODELS, predicted, realised, draws, np.random.default_rng(2))
    assert found.per_model["a"]["auc"] is None
    assert found.auc.value == pytest.approx(found.per_model["b"]["auc"])
    everywhere = calibrate_quality(MODELS, predicted, np.ones((200, 2)), draws, np.random.default_rng(2))
    assert everywhere.auc.value is None


def test_weights_count_as_copies():
    score, right = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True])
    weights = np.array([[1.0, 2.0, 3.0, 1.0]])
    copies = np.repeat(np.arange(4), [1, 2, 3, 1])
    assert weighted_auc(score, right, weights) == pytest.approx(roc_auc_score(right[copies], score[copies]))


def test_the_report_holds_plain_values():
    report = calibrated(200).to_dict()
    assert set(report) == {"ece", "ece_floor", "ece_floor_high", "brier", "auc", "per_model"}
    assert set(report["ece"]) == {"value", "low", "high"}


def test_without_resamples_there_is_no_interval():
    draws = QueryBootstrap(np.zeros((0, 50), dtype=np.int32))
    predicted = np.random.default_rng(0).random((50, 2))
    found = calibrate_quality(MODELS, predicted, (predicted > 0.5).astype(float), draws, np.random.default_rng(2))
    assert found.ece.low is None
