import numpy as np
import pytest
from sklearn.metrics import r2_score

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.cost_accuracy import assess_cost

MODELS = ("a", "b")


def draws(n, resamples=50):
    return QueryBootstrap.draw(np.random.default_rng(1), n, resamples)


def costs(n=400):
    rng = np.random.default_rng(0)
    realised = np.exp(rng.standard_normal((n, 2)))
    return realised * np.exp(0.3 * rng.standard_normal((n, 2))), realised


def test_r2_is_of_the_logarithm_within_each_model():
    predicted, realised = costs()
    found = assess_cost(MODELS, predicted, realised, draws(400))
    each = [r2_score(np.log(realised[:, i]), np.log(predicted[:, i])) for i in range(2)]
    assert [found.per_model[model]["log_r2"] for model in MODELS] == pytest.approx(each)
    assert found.log_r2.value == pytest.approx(np.mean(each))
    assert found.log_r2.low < found.log_r2.value < found.log_r2.high


def test_the_ratio_error_is_symmetric_in_over_and_underestimates():
    realised = np.full((4, 2), 2.0)
    predicted = np.array([[4.0, 1.0], [4.0, 1.0], [4.0, 1.0], [4.0, 1.0]])
    found = assess_cost(MODELS, predicted, realised, draws(4))
    assert found.median_ratio_error.value == pytest.approx(1.0)
    assert (found.median_ratio_error.low, found.median_ratio_error.high) == pytest.approx((1.0, 1.0))


def test_a_cost_that_never_varies_has_no_r2():
    found = assess_cost(MODELS, np.ones((50, 2)), np.ones((50, 2)), draws(50))
    assert found.log_r2.value is None
    assert found.per_model["a"] == {"log_r2": None, "median_ratio_error": 0.0, "spend_accuracy": 1.0, "coverage": None}


def test_free_calls_are_left_out():
    predicted, realised = costs(100)
    realised[:, 0] = 0.0
    realised[3, 1] = 0.0
    found = assess_cost(MODELS, predicted, realised, draws(100))
    assert found.per_model["a"] == {
        "log_r2": None,
        "median_ratio_error": None,
        "spend_accuracy": None,
        "coverage": None,
    }
    kept = np.arange(100) != 3
    assert found.log_r2.value == pytest.approx(r2_score(np.log(realised[kept, 1]), np.log(predicted[kept, 1])))


def test_when_everything_is_free_nothing_is_defined():
    found = assess_cost(MODELS, np.ones((10, 2)), np.zeros((10, 2)), draws(10))
    assert found.to_dict()["log_r2"] == {"value": None, "low": None, "high": None}
    assert found.median_ratio_error.value is None


def test_a_resample_of_free_calls_alone_is_left_out_of_the_interval():
    realised = np.array([[1.0], [0.0]])
    only_free = QueryBootstrap(np.array([[1, 1], [0, 1]], dtype=np.int32))
    found = assess_cost(("a",), np.array([[2.0], [1.0]]), realised, only_free)
    assert found.median_ratio_error.value == pytest.approx(1.0)
    assert found.median_ratio_error.low == pytest.approx(1.0)


def test_spend_is_of_totals_and_closeness_of_calls():
    realised = np.array([[1.0, 10.0], [3.0, np.nan]])
    predicted = np.array([[1.2, 9.5], [2.8, 7.0]])
    found = assess_cost(MODELS, predicted, realised, draws(2))
    assert found.spend_accuracy.value == pytest.approx(1 - 0.5 / 14)
    assert found.per_model["a"]["spend_accuracy"] == pytest.approx(1.0)
    assert found.per_model["b"]["spend_accuracy"] == pytest.approx(0.95)
    assert found.within_10_percent.value == pytest.approx(2 / 3)
    assert found.within_25_percent.value == pytest.approx(1.0)
    assert found.to_dict()["spend_accuracy"]["value"] == found.spend_accuracy.value


def test_logarithms_are_judged_by_typical_costs_and_the_spend_by_expected_ones():
    typical, realised = costs(100)
    found = assess_cost(MODELS, realised, realised, draws(100), typical)
    assert found.log_r2 == assess_cost(MODELS, typical, realised, draws(100)).log_r2
    assert found.spend_accuracy.value == 1.0


def test_coverage_counts_calls_whose_interval_is_known():
    predicted, realised = costs(100)
    inside = np.ones((100, 2))
    inside[:20, 0], inside[50:, 1] = 0.0, np.nan
    found = assess_cost(MODELS, predicted, realised, draws(100), inside=inside)
    assert found.coverage.value == pytest.approx(130 / 150)
    assert found.per_model["a"]["coverage"] == pytest.approx(0.8)
    assert found.per_model["b"]["coverage"] == 1.0
