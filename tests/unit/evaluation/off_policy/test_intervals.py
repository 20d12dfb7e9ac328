import numpy as np
import pytest

from beast_ml.evaluation.off_policy.estimators import PerRound
from beast_ml.evaluation.off_policy.intervals import Questions, always_valid, bernstein, bootstrap, normal, resample


def mean_of(values):
    return PerRound(np.asarray(values, dtype=float), np.ones(len(values)), float(len(values)))


def resampled(estimate, questions, seed=0, n=400):
    return bootstrap([estimate], questions, resample(np.random.default_rng(seed), questions.n_units, n))[0]


def test_a_copy_of_every_round_narrows_nothing():
    values = np.random.default_rng(0).random(200)
    alone = Questions.of(np.arange(200))
    twice = Questions.of(np.repeat(np.arange(200), 2))
    one, two = mean_of(values), mean_of(np.repeat(values, 2))
    np.testing.assert_allclose(resampled(one, alone), resampled(two, twice))
    np.testing.assert_allclose(normal(one, alone), normal(two, twice))
    np.testing.assert_allclose(always_valid(one, alone), always_valid(two, twice))
    np.testing.assert_allclose(bernstein(one, alone, 0, 1), bernstein(two, twice, 0, 1))


def test_the_exact_and_the_always_valid_intervals_are_wider():
    values = np.random.default_rng(1).random(500)
    questions = Questions.of(np.arange(500))
    estimate = mean_of(values)
    widths = [high - low for low, high in (normal(estimate, questions), always_valid(estimate, questions))]
    exact = bernstein(estimate, questions, 0, 1)
    assert widths[0] < widths[1]
    assert widths[0] < exact[1] - exact[0]


def test_resamples_are_paired():
    rng = np.random.default_rng(2)
    values = rng.random(300)
    questions = Questions.of(np.arange(300))
    draws = list(resample(np.random.default_rng(0), 300, 200))
    one, other = bootstrap([mean_of(values), mean_of(1 - values)], questions, draws)
    np.testing.assert_allclose([1 - other[1], 1 - other[0]], one)


def test_equal_values_have_an_interval_of_no_width():
    assert resampled(mean_of(np.full(50, 0.3)), Questions.of(np.arange(50))) == pytest.approx((0.3, 0.3))


def test_one_question_bounds_nothing():
    questions = Questions.of(np.zeros(9, int))
    for interval in (resampled(mean_of(np.ones(9)), questions), always_valid(mean_of(np.ones(9)), questions)):
        assert interval == (-np.inf, np.inf)


def test_an_estimate_that_is_not_defined_is_not_bounded():
    nothing = PerRound(np.zeros(9), np.zeros(9), 0.0)
    questions = Questions.of(np.arange(9))
    for interval in (
        resampled(nothing, questions),
        always_valid(nothing, questions),
        bernstein(nothing, questions, 0, 1),
    ):
        assert interval == (-np.inf, np.inf)


def test_resampling_and_the_normal_agree_where_nothing_is_skewed():
    estimate, questions = mean_of(np.random.default_rng(3).standard_normal(1000)), Questions.of(np.arange(1000))
    np.testing.assert_allclose(resampled(estimate, questions, n=2000), normal(estimate, questions), atol=0.01)
