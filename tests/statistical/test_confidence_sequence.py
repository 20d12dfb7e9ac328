"""Do confidence sequences hold the truth at every look at once? An ordinary interval, looked at as often, does not."""

import numpy as np

from beast_ml.evaluation.confidence_sequence import (
    always_valid_p_value,
    empirical_bernstein_sequence,
    normal_mixture_radius,
    rho_tightest_at,
)

N_RUNS, N_VALUES, FIRST_LOOK = 400, 3000, 100
MEAN = 0.3


def running(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return n, means and variances after each value from the first look on."""
    n = np.arange(1, values.shape[1] + 1)
    mean = np.cumsum(values, axis=1) / n
    variance = np.cumsum(values**2, axis=1) / n - mean**2
    return n[FIRST_LOOK:], mean[:, FIRST_LOOK:], variance[:, FIRST_LOOK:]


def coins(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((N_RUNS, N_VALUES)) < MEAN).astype(float)


def test_looking_after_every_value_errs_in_no_more_than_5_percent_of_runs():
    rho = rho_tightest_at(500)
    for values, mean in ((coins(0), MEAN), (np.random.default_rng(1).lognormal(0, 0.7, (N_RUNS, N_VALUES)), None)):
        n, means, variance = running(values)
        truth = np.exp(0.7**2 / 2) if mean is None else mean
        ever_wrong = (np.abs(means - truth) > normal_mixture_radius(n, variance, rho)).any(axis=1).mean()
        assert ever_wrong <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / N_RUNS)
        ever_significant = (always_valid_p_value(means - truth, n, variance, rho) < 0.05).any(axis=1).mean()
        assert ever_significant == ever_wrong


def test_an_ordinary_interval_looked_at_as_often_errs_far_oftener():
    n, means, variance = running(coins(0))
    ever_wrong = (np.abs(means - MEAN) > 1.96 * np.sqrt(variance / n)).any(axis=1).mean()
    assert ever_wrong > 0.25


def test_the_sequence_shrinks_enough_to_find_a_difference():
    n, means, variance = running(coins(2))
    found = always_valid_p_value(means - MEAN - 0.06, n, variance, rho_tightest_at(500)) < 0.05
    assert found.any(axis=1).mean() > 0.99


def test_the_bernstein_sequence_holds_the_truth_from_the_first_value_on():
    for tightest_at in (None, 1000):
        bounds = empirical_bernstein_sequence(coins(3), 0, 1, tightest_at=tightest_at)
        ever_wrong = ((bounds.low > MEAN) | (bounds.high < MEAN)).any(axis=1).mean()
        assert ever_wrong <= 0.05
        assert (bounds.high - bounds.low)[:, -1].max() < 0.1
