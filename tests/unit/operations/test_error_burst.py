from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.operations.error_burst import find_burst, holm, merged_bins, rate_interval


def drawn(first: int, last: int, n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    calls = rng.poisson(20, n)
    rates = np.full(n, 0.01)
    rates[first:last] = 0.2
    return rng.binomial(calls, rates), calls


@pytest.mark.parametrize(("first", "last"), [(300, 400), (250, 320), (0, 60)])
def test_a_raised_stretch_is_found_where_it_is(first, last):
    failed, calls = drawn(first, last)
    burst = find_burst(failed, calls, np.random.default_rng(0))
    assert abs(burst.first - first) <= 6
    assert abs(burst.last - last) <= 6
    assert burst.first_low <= burst.first <= burst.first_high < burst.last
    assert burst.p_value <= 0.02


def test_a_stretch_that_ended_before_is_not_reported():
    failed, calls = drawn(100, 150)
    burst = find_burst(failed, calls, np.random.default_rng(0), reaching=300)
    assert burst is None or burst.p_value > 0.05


def test_neither_an_old_stretch_nor_an_old_clump_hides_a_new_one():
    failed, calls = drawn(380, 400)
    failed[100:150] = calls[100:150] // 2
    failed[200] = calls[200]
    burst = find_burst(failed, calls, np.random.default_rng(0), reaching=350)
    assert abs(burst.first - 380) <= 3
    assert burst.last == 400
    assert burst.p_value <= 0.02


def test_a_clump_within_a_bin_is_not_called_new():
    failed, calls = drawn(0, 0)
    failed[390] = calls[390]
    burst = find_burst(failed, calls, np.random.default_rng(0), reaching=350)
    assert burst is None or burst.p_value > 0.05


@pytest.mark.parametrize(
    ("failed", "calls"),
    [([0] * 50, [5] * 50), ([5] * 50, [5] * 50), ([1, 0], [5, 5]), ([0] * 50, [0] * 50), ([], [])],
)
def test_nothing_to_tell_apart_is_no_burst(failed, calls):
    counts = (np.array(each, dtype=np.int64) for each in (failed, calls))
    assert find_burst(*counts, np.random.default_rng(0)) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40), st.integers(0, 39))
def test_any_counts_give_a_stretch_within_them_or_none(pairs, reaching):
    failed = np.array([min(a, b) for a, b in pairs])
    calls = np.array([max(a, b) for a, b in pairs])
    burst = find_burst(failed, calls, np.random.default_rng(0), reaching=reaching, n_permutations=19)
    if burst is not None:
        assert 0 <= burst.first_low <= burst.first <= burst.first_high < burst.last <= len(pairs)
        assert burst.last > reaching
        assert 0 < burst.p_value <= 1
    first = find_burst(failed, calls, np.random.default_rng(0), n_permutations=19)
    if first is not None:  # before anything is taken out
        inside = slice(first.first, first.last)
        assert failed[inside].sum() * calls.sum() >= failed.sum() * calls[inside].sum()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 20))
def test_merged_bins_cover_everything_and_none_is_without_calls(calls, most):
    edges = merged_bins(np.array(calls), most)
    if sum(calls) == 0:
        assert edges.tolist() == [0]
    else:
        assert edges[0] == 0
        assert edges[-1] == len(calls)
        assert len(edges) - 1 <= most
        assert all(sum(calls[a:b]) > 0 for a, b in pairwise(edges))


@given(st.integers(0, 50), st.integers(0, 50))
def test_an_interval_of_a_rate_holds_it(n_failed, n_ok):
    low, high = rate_interval(n_failed, n_failed + n_ok)
    assert 0 <= low <= high <= 1
    assert n_failed + n_ok == 0 or low - 1e-12 <= n_failed / (n_failed + n_ok) <= high + 1e-12


@given(st.lists(st.floats(0, 1), max_size=10))
def test_adjusted_p_values_keep_their_order_and_never_shrink(p_values):
    adjusted = holm(np.array(p_values))
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()
