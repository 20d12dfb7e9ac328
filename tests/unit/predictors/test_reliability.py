import numpy as np
import pytest

from beast_ml.predictors.reliability import ReliabilityPredictor, fit_reliability

RATES = (0.02, 0.1, 0.4)


@pytest.fixture(scope="module")
def data(world, training_set):
    return training_set(world)


@pytest.fixture(scope="module")
def failed(data):
    return (np.random.default_rng(0).random(data.outcomes.quality.shape) < RATES).astype(float)


@pytest.fixture(scope="module")
def reliability(data, failed):
    return fit_reliability(data, failed, np.random.default_rng(0))


def test_rates_are_found_where_prompts_tell_nothing(reliability, data, failed):
    predicted = reliability.predictor.predict(data.rows)
    np.testing.assert_allclose(predicted.mean(axis=0), failed.mean(axis=0), atol=0.04)
    assert reliability.report["brier_out_of_fold"] < np.mean((failed - failed.mean()) ** 2)


def test_failures_that_prompts_tell_of_are_predicted(data):
    code = (data.outcomes.tasks == "code")[:, None]
    failed = np.broadcast_to(code, data.outcomes.quality.shape).astype(float)
    out_of_fold = fit_reliability(data, failed, np.random.default_rng(0)).out_of_fold
    assert out_of_fold[code[:, 0]].mean() > out_of_fold[~code[:, 0]].mean() + 0.15


def test_calls_that_were_not_made_are_left_out(data, failed):
    hidden = np.random.default_rng(1).random(failed.shape) < 0.6
    fitted = fit_reliability(data, np.where(hidden, np.nan, failed), np.random.default_rng(0))
    assert np.isfinite(fitted.out_of_fold).all()
    np.testing.assert_allclose(fitted.predictor.predict(data.rows).mean(axis=0), failed.mean(axis=0), atol=0.08)


def test_probabilities_are_inside_their_intervals_and_are_restored_to_the_bit(reliability, data):
    predictor = reliability.predictor
    again = ReliabilityPredictor.restore(predictor.models, predictor.arrays(), predictor.calibration())
    predicted, (low, high) = predictor.predict(data.rows), predictor.interval(data.rows)
    assert ((low >= 0) & (low <= predicted) & (predicted <= high) & (high <= 1)).all()
    assert again.predict(data.rows).tobytes() == predicted.tobytes()
    assert again.interval(data.rows)[1].tobytes() == high.tobytes()
