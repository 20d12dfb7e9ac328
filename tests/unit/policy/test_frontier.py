import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beast_ml.policy.frontier import (
    CostRange,
    non_decreasing_convex_hull,
    oracle_choices,
    router_frontier,
    share_of_gap,
)

points = hnp.arrays(float, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(0, 1, width=32))
outcomes = st.tuples(st.integers(2, 30), st.integers(2, 5), st.integers(0, 2**32 - 1), st.booleans())


def realised(spec):
    n, m, seed, binary = spec
    rng = np.random.default_rng(seed)
    quality = rng.random((n, m))
    return (quality > 0.5).astype(float) if binary else quality, rng.random((n, m)) + 0.01


def means(choices, quality, cost):
    rows = np.arange(quality.shape[0])
    return (
        np.array([quality[rows, c].mean() for c in choices]),
        np.array([cost[rows, c].mean() for c in choices]),
    )


@given(points)
def test_the_hull_is_concave_rising_and_above_every_point(xy):
    hull = non_decreasing_convex_hull(xy[:, 0], xy[:, 1])
    assert (np.diff(hull.cost) > 0).all()
    assert (np.diff(hull.quality) > 0).all()
    assert (np.diff(np.diff(hull.quality) / np.diff(hull.cost)) < 1e-6).all()
    assert (hull.quality_at(xy[:, 0]) >= xy[:, 1] - 1e-9).all()


@given(points, st.integers(0, 9999))
def test_the_hull_does_not_depend_on_the_order_of_the_points(xy, seed):
    order = np.random.default_rng(seed).permutation(len(xy))
    first = non_decreasing_convex_hull(xy[:, 0], xy[:, 1])
    second = non_decreasing_convex_hull(xy[order, 0], xy[order, 1])
    assert first.cost.tolist() == second.cost.tolist()
    assert first.quality.tolist() == second.quality.tolist()


@given(points, st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_another_point_never_lowers_the_aiq(xy, cost, quality):
    costs = CostRange(0.0, 1.0, 0.0)
    before = costs.aiq(router_frontier(xy[:, 0], xy[:, 1], costs))
    after = costs.aiq(router_frontier(np.append(xy[:, 0], cost), np.append(xy[:, 1], quality), costs))
    assert after >= before - 1e-9


@given(outcomes)
def test_the_zero_router_never_beats_the_oracle_nor_any_router_does(spec):
    quality, cost = realised(spec)
    costs = CostRange.of_single_models(cost.mean(axis=0), quality.mean(axis=0))
    _, choices = oracle_choices(quality, cost)
    oracle_quality, oracle_cost = means(choices, quality, cost)
    oracle = costs.aiq(router_frontier(oracle_cost, oracle_quality, costs))
    zero = costs.aiq(router_frontier(cost.mean(axis=0), quality.mean(axis=0), costs))
    picks = np.random.default_rng(spec[2]).integers(0, spec[1], size=(10, spec[0]))
    some_quality, some_cost = means(picks, quality, cost)
    router = costs.aiq(router_frontier(some_cost, some_quality, costs))
    slack = 0.01  # the oracle's grid is finite: on a handful of queries it can miss a vertex
    assert zero <= oracle + slack
    assert router <= oracle + slack


@given(outcomes)
def test_the_oracle_ends_at_the_best_quality_cheapest_on_ties(spec):
    quality, cost = realised(spec)
    _, choices = oracle_choices(quality, cost)
    rows = np.arange(len(quality))
    best = quality.max(axis=1)
    assert (quality[rows, choices[-1]] == best).all()
    cheapest = np.where(quality == best[:, None], cost, np.inf).min(axis=1)
    assert (cost[rows, choices[-1]] == cheapest).all()


def test_the_area_of_a_hand_drawn_curve():
    hull = non_decreasing_convex_hull([1.0, 2.0, 5.0], [0.2, 0.6, 0.8])
    costs = CostRange(1.0, 5.0, 0.2)
    # Trapezoids: 0.4 from 1 to 2, then 0.7 x 3 = 2.1.
    assert costs.aiq(hull) == pytest.approx(2.5 / 4)
    assert costs.aiq_over_dearest(hull) == pytest.approx(2.5 / 5)


def test_a_curve_that_ends_early_is_flat_to_the_right():
    costs = CostRange(1.0, 3.0, 0.2)
    assert costs.aiq(router_frontier(np.array([2.0]), np.array([0.6]), costs)) == pytest.approx((0.4 + 0.6) / 2)


def test_a_curve_that_starts_left_of_the_range_is_cut_there():
    costs = CostRange(1.0, 2.0, 0.5)
    hull = non_decreasing_convex_hull([0.0, 2.0], [0.0, 1.0])
    assert costs.aiq(hull) == pytest.approx(0.75)


def test_every_curve_holds_the_cheapest_models_point():
    costs = CostRange.of_single_models(np.array([1.0, 1.0, 4.0]), np.array([0.3, 0.5, 0.9]))
    assert (costs.low, costs.high, costs.anchor_quality) == (1.0, 4.0, 0.5)
    assert router_frontier(np.array([4.0]), np.array([0.9]), costs).quality_at(1.0) == 0.5


def test_models_of_one_cost_leave_only_quality_to_compare():
    costs = CostRange.of_single_models(np.zeros(2), np.array([0.3, 0.5]))
    frontier = router_frontier(np.zeros(1), np.array([0.7]), costs)
    assert costs.aiq(frontier) == 0.7
    assert np.isnan(costs.aiq_over_dearest(frontier))


def test_the_least_cost_of_a_quality_lies_on_the_curve():
    hull = non_decreasing_convex_hull([1.0, 3.0], [0.2, 0.8])
    assert hull.cost_of(0.5) == pytest.approx(2.0)
    assert hull.cost_of(0.1) == 1.0
    assert hull.cost_of(0.9) is None


def test_to_the_left_of_a_curve_there_is_no_quality():
    assert np.isnan(non_decreasing_convex_hull([1.0], [0.2]).quality_at(0.5))


def test_the_share_of_the_gap_runs_from_the_zero_router_to_the_oracle():
    assert share_of_gap([0.5, 0.75, 1.0], 0.5, 1.0).tolist() == [0.0, 0.5, 1.0]
    assert np.isnan(share_of_gap(0.5, 0.5, 0.5))
