import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.verifier.curves import Counts, hits_at_rates, interval, resample_weights, trade_off


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), min_size=1, max_size=30))
def test_hits_at_a_rate_are_those_of_the_best_threshold(rows):
    scores, right = np.array([score for score, _ in rows]), np.array([good for _, good in rows])
    for rate in (0.0, 0.1, 0.5, 1.0):
        possible = [scores >= threshold for threshold in (*np.unique(scores), np.inf)]
        allowed = [hit.mean() for hit in possible if (hit & ~right).mean() <= rate]
        assert hits_at_rates(scores, right, [rate])[0] == pytest.approx(max(allowed))


def test_weights_count_a_lookup_more_than_once():
    scores, right = np.array([0.9, 0.5, 0.1]), np.array([True, False, True])
    doubled = hits_at_rates(np.repeat(scores, 2), np.repeat(right, 2), [0.0, 0.4])
    np.testing.assert_allclose(hits_at_rates(scores, right, [0.0, 0.4], np.full(3, 2.0)), doubled)


def test_a_lookup_without_a_candidate_never_hits():
    assert hits_at_rates([-np.inf, 0.5], [False, True], [1.0])[0] == 0.5


def test_a_curve_never_falls():
    rng = np.random.default_rng(0)
    rates, hits = trade_off(rng.random(300), rng.random(300) > 0.4)
    assert (np.diff(hits) >= 0).all()
    assert rates[-1] == 0.1


def test_connected_lookups_are_drawn_together():
    components = np.array([0, 0, 1, 2, 2, *range(3, 40)])
    weights = resample_weights(components, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 4])
    assert weights.std() > 0


def test_where_all_are_connected_each_is_drawn_alone():
    weights = resample_weights(np.zeros(100, dtype=np.int64), 5, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 100).all()
    assert weights.std() > 0


def test_an_interval_without_a_value_is_none():
    assert interval(float("nan"), [1.0]).value is None
    assert interval(1.0, [float("nan")]).low is None


def test_counts_are_of_hits_and_of_what_could_have_been_hit():
    counts = Counts.of(np.array([True, True, False]), np.array([True, False, True]))
    assert (counts.n_lookups, counts.n_hits, counts.n_wrong, counts.n_right_possible) == (3, 2, 1, 2)
