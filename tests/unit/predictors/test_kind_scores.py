import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from beast_ml.predictors.kind_scores import calibration_error, confusion, f1_by_kind, macro_f1


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=400)
    return truth, np.where(rng.random(400) < 0.7, truth, rng.integers(5, size=400))


def test_scores_are_those_of_scikit_learn(labels):
    table = confusion(*labels, 5)
    np.testing.assert_array_equal(table, confusion_matrix(*labels))
    np.testing.assert_allclose(f1_by_kind(table), f1_score(*labels, average=None))
    assert macro_f1(table) == pytest.approx(f1_score(*labels, average="macro"))


def test_a_kind_nobody_has_does_not_count_but_predicting_it_is_wrong():
    table = confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 4)
    assert np.isnan(f1_by_kind(table)[3])
    assert macro_f1(table) == pytest.approx((2 / 3 + 1.0) / 2)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    posterior = np.tile([0.9, 0.1], (100, 1))
    assert calibration_error(posterior, (np.arange(100) % 10 == 0).astype(int)) < 0.15
    assert calibration_error(posterior, np.ones(100, dtype=int)) == pytest.approx(0.9)
