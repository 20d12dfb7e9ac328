import numpy as np

from beast_ml.predictors.logging_policy import estimate_logging_policy


def choices(n, probabilities_of, seed=0):
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((n, 3))
    probabilities = probabilities_of(columns)
    chosen = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return columns, probabilities, chosen, np.arange(n) % 4, rng


def softmax_of_the_first_column(columns):
    logits = np.stack([columns[:, 0], -columns[:, 0], np.zeros(len(columns))], axis=1)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_a_policy_that_goes_by_the_request_is_found():
    columns, truth, chosen, folds, rng = choices(4000, softmax_of_the_first_column)
    found = estimate_logging_policy(columns, chosen, 3, folds, rng)
    assert np.abs(found.probabilities - truth).mean() < 0.03
    assert found.report.log_loss < found.report.log_loss_of_shares - 0.1
    assert found.report.calibration_error < 0.03
    assert found.report.explored > 0.95
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)


def test_a_policy_that_does_not_is_its_shares():
    columns, truth, chosen, folds, rng = choices(1000, lambda c: np.tile([0.9, 0.07, 0.03], (len(c), 1)))
    found = estimate_logging_policy(columns, chosen, 3, folds, rng)
    assert np.abs(found.probabilities - truth).mean() < 0.015


def test_a_deterministic_policy_has_explored_nothing():
    columns, _, chosen, folds, rng = choices(2000, lambda c: np.tile([1.0, 0.0, 0.0], (len(c), 1)))
    found = estimate_logging_policy(columns, chosen, 3, folds, rng)
    assert found.report.explored == 0.0
    assert (found.propensity(chosen) > 0.99).all()


def test_a_model_that_was_never_chosen_was_not_impossible():
    columns, _, chosen, folds, rng = choices(500, lambda c: np.tile([0.5, 0.5, 0.0], (len(c), 1)))
    assert (estimate_logging_policy(columns, chosen, 3, folds, rng).probabilities[:, 2] > 0).all()


def test_no_propensity_is_below_the_floor_and_clipping_is_reported():
    columns, _, chosen, folds, rng = choices(5000, lambda c: np.tile([0.999, 0.001, 0.0], (len(c), 1)))
    found = estimate_logging_policy(columns, chosen, 3, folds, rng)
    assert found.propensity(chosen).min() == 0.005
    assert found.report.clipped == (chosen == 1).mean()
    assert found.report.metrics()["logging_policy/clipped"] == found.report.clipped
