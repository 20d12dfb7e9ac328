import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.evaluation.proportion import effective_trials, wilson


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
