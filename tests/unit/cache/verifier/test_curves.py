import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.verifier.curves import Counts, hits_at_rates, interval, resample, trade_off
from beast_ml.cache.verifier.labelled import LabelledPairs


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


def pairs_between(edges):
    texts = tuple(f"t{a}" for a, _ in edges), tuple(f"t{b}" for _, b in edges)
    return LabelledPairs(*texts, np.zeros(len(edges), dtype=bool))


def resampled(edges, n=50, seed=0):
    pairs = pairs_between(edges)
    return resample(pairs.components, pairs.text_ids, n, np.random.default_rng(seed))


def star(middle, n):
    """Return n lookups of one text, with texts of their own."""
    return [(middle, 1000 * (middle + 1) + i) for i in range(n)]


def test_connected_lookups_are_drawn_together():
    drawn = resampled([*star(0, 2), *star(1, 1), *star(2, 2), *(edge for i in range(3, 40) for edge in star(i, 1))])
    np.testing.assert_array_equal(drawn.weights[:, 0], drawn.weights[:, 1])
    np.testing.assert_array_equal(drawn.weights[:, 3], drawn.weights[:, 4])
    assert drawn.weights.std() > 0
    assert (drawn.n_units, drawn.largest, drawn.n_split) == (40, 2, 0)
    assert drawn.description["drawn"] == "lookups connected through shared texts together"


def test_a_giant_component_is_split_by_text_and_the_others_stay_whole():
    chained = [*star(0, 6), *star(1, 6), (0, 1)]
    drawn = resampled([*chained, *(edge for i in range(2, 22) for edge in star(i, 5))])
    assert drawn.n_split == 13
    assert (drawn.weights[:, :6] == drawn.weights[:, :1]).all()
    assert (drawn.weights[:, 6:12] == drawn.weights[:, 6:7]).all()
    assert (drawn.weights[:, 0] != drawn.weights[:, 6]).any()
    others = drawn.weights[:, 13:].reshape(50, 20, 5)
    assert (others == others[:, :, :1]).all()
    assert "by text" in drawn.description["drawn"]
    assert (drawn.description["units"], drawn.description["lookups_in_largest_unit"]) == (22, 7)


@pytest.mark.parametrize("edges", [star(0, 100), [(1, 2)] * 100, [(3, 3)] * 100])
def test_where_all_share_a_text_each_is_drawn_alone(edges):
    drawn = resampled(edges, 5)
    assert (drawn.weights.sum(axis=1) == 100).all()
    assert drawn.weights.std() > 0
    assert (drawn.n_units, drawn.n_split) == (100, 100)


def test_intervals_hold_the_rate_whether_or_not_one_component_is_a_giant():
    rng, n_draws, covered = np.random.default_rng(0), 100, 0
    links = [(i, i + 1) for i in range(11)]
    chained = [edge for i in range(12) for edge in star(i, 6)]
    pairs = pairs_between([*chained, *links, *(edge for i in range(12, 42) for edge in star(i, 18))])
    together = np.array([*np.repeat(np.arange(12), 6), *range(11), *np.repeat(np.arange(12, 42), 18)])
    assert (pairs.components == pairs.components[0]).mean() > 0.12
    for _ in range(n_draws):
        wrong = (rng.random(42) < 0.3)[together]
        weights = resample(pairs.components, pairs.text_ids, 200, rng).weights
        found = interval(wrong.mean(), weights @ wrong / weights.sum(axis=1))
        covered += found.low <= 0.3 <= found.high
    assert covered > 80  # of intervals of 95% from some 40 units; row by row 40


def test_an_interval_without_a_value_is_none():
    assert interval(float("nan"), [1.0]).value is None
    assert interval(1.0, [float("nan")]).low is None


def test_counts_are_of_hits_and_of_what_could_have_been_hit():
    counts = Counts.of(np.array([True, True, False]), np.array([True, False, True]))
    assert (counts.n_lookups, counts.n_hits, counts.n_wrong, counts.n_right_possible) == (3, 2, 1, 2)
