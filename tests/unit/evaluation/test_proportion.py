import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.evaluation.proportion import effective_trials, trials_of_grades, wilson


@pytest.mark.parametrize(("bad", "fails"), [(1.0, 0.03), (0.1, 0.3), (0.5, 0.9)])
def test_intervals_cover_the_rate_of_failures_that_come_in_bursts(bad, fails):
    """At 95%; in a share of the clusters, trials fail at a rate."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1_000):
        n = rng.poisson(8, size=200)
        k = rng.binomial(n, fails * (rng.random(200) < bad))
        low, high = wilson(float(k.sum() / n.sum()), effective_trials(n, k))
        covered.append(low <= bad * fails <= high)
    assert 0.925 <= np.mean(covered) <= 0.975


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("stars", [(0.1, 0.05, 0.1, 0.3, 0.45), (0.0, 0.0, 0.2, 0.5, 0.3)])
def test_intervals_cover_the_mean_of_grades_and_are_no_wider_than_of_yes_and_no(n, stars):
    """At 95%; of one to five stars."""
    rng, grades = np.random.default_rng(0), np.linspace(0.0, 1.0, 5)
    covered, trials = [], []
    for _ in range(2_000):
        given_grades = rng.choice(grades, n, p=stars)
        trials.append(trials_of_grades(given_grades))
        low, high = wilson(float(given_grades.mean()), trials[-1])
        covered.append(low <= grades @ stars <= high)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(trials) > 1.3 * n


def test_grades_of_all_or_nothing_are_as_many_trials_and_equal_ones_no_certainty():
    assert trials_of_grades(np.array([0.0, 1.0, 1.0])) == pytest.approx(3.0)
    assert trials_of_grades(np.ones(5)) == 5.0
    low, high = wilson(0.8, trials_of_grades(np.full(3, 0.8)))
    assert 0.5 < low < 0.7 < 0.85 < high < 1.0


def test_a_share_of_all_or_none_has_an_interval_too():
    low, high = wilson(1.0, 100)
    assert high == 1.0
    assert 0.95 < low < 0.97
    assert wilson(0.0, 100) == pytest.approx((0.0, 1.0 - low))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_holds_the_share(counted):
    k, n = counted
    low, high = wilson(k / n, n)
    assert 0 <= low <= k / n <= high <= 1
