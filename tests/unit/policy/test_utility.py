import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beast_ml.policy.utility import Predictions, choose, tradeoff_label, willingness_grid


def predictions(quality, cost):
    quality = np.asarray(quality, dtype=float)
    return Predictions(tuple("abcdefgh"[: quality.shape[1]]), quality, np.asarray(cost, dtype=float))


unit = st.floats(0, 1, allow_nan=False)
tables = st.integers(1, 6).flatmap(
    lambda m: st.tuples(
        hnp.arrays(float, st.tuples(st.integers(1, 20), st.just(m)), elements=unit),
        st.just(m),
    )
)


def test_nothing_paid_for_quality_takes_the_cheapest():
    assert choose(predictions([[0.9, 0.1]], [[2.0, 1.0]]), 0.0).tolist() == [1]


def test_any_price_takes_the_best_and_the_cheaper_of_two_best():
    assert choose(predictions([[0.9, 0.9, 0.1]], [[2.0, 1.0, 0.5]]), np.inf).tolist() == [1]


def test_models_of_equal_cost_are_told_apart_by_quality_even_when_nothing_is_paid_for_it():
    assert choose(predictions([[0.1, 0.9]], [[0.0, 0.0]]), 0.0).tolist() == [1]


def test_full_ties_go_to_the_first_name():
    assert choose(predictions([[0.5, 0.5]], [[1.0, 1.0]]), 3.0).tolist() == [0]


def test_a_decision_flips_where_the_willingness_passes_the_price_of_quality():
    two = predictions([[0.2, 0.7]], [[1.0, 2.0]])
    assert choose(two, 1.99).tolist() == [0]
    assert choose(two, 2.01).tolist() == [1]


@given(tables, st.integers(0, 2**32 - 1))
def test_the_chosen_model_has_the_highest_utility(table, seed):
    quality, m = table
    cost = np.random.default_rng(seed).random((len(quality), m))
    for w in (0.0, 0.3, 10.0):
        utility = w * quality - cost
        chosen = choose(predictions(quality, cost), w)
        assert (utility[np.arange(len(quality)), chosen] == utility.max(axis=1)).all()


@given(tables, st.integers(0, 2**32 - 1), st.booleans())
def test_the_grid_has_distinct_labels_that_say_its_exact_values(table, seed, free):
    quality, m = table
    cost = np.zeros((len(quality), m)) if free else np.random.default_rng(seed).random((len(quality), m)) * 1e-4
    grid = willingness_grid(predictions(quality, cost))
    labels = [tradeoff_label(w) for w in grid]
    assert len(grid) == 48
    assert len(set(labels)) == 48
    assert (np.diff(grid) > 0).all()
    assert [float(label) for label in labels] == grid.tolist()
    assert grid[0] == 0
    assert grid[-1] == np.inf


def test_the_grid_runs_from_always_cheapest_to_always_best():
    rng = np.random.default_rng(0)
    some = predictions(rng.random((200, 3)), rng.random((200, 3)))
    grid = willingness_grid(some)
    assert (choose(some, grid[0]) == some.cost.argmin(axis=1)).all()
    assert (choose(some, grid[-1]) == some.quality.argmax(axis=1)).all()


def test_rates_that_differ_past_the_sixth_digit_are_not_printed_twice():
    cost = np.column_stack([np.zeros(100), 1.0 + np.arange(100) * 1e-9])
    quality = np.column_stack([np.zeros(100), np.ones(100)])
    assert len({tradeoff_label(w) for w in willingness_grid(predictions(quality, cost))}) == 48


@pytest.mark.parametrize("n_points", [20, 160])
def test_the_grid_has_at_most_as_many_points_as_asked_for_and_at_least_half(n_points):
    rng = np.random.default_rng(1)
    grid = willingness_grid(predictions(rng.random((500, 3)), rng.random((500, 3))), n_points)
    assert n_points / 2 <= len(grid) <= n_points


def test_dear_decisions_are_resolved_as_well_as_the_many_cheap_ones():
    # Nine of ten queries move between two cheap models at tiny rates; the money is in the tenth, for the dear one.
    rng = np.random.default_rng(2)
    cost = np.tile([0.001, 0.002, 1.0], (1000, 1))
    quality = np.column_stack([np.full(1000, 0.5), 0.5 + 0.1 * rng.random(1000), np.zeros(1000)])
    quality[::10, 2] = 0.7 + 0.3 * rng.random(100)
    some = predictions(quality, cost)
    spent = [np.take_along_axis(cost, choose(some, w)[:, None], axis=1).mean() for w in willingness_grid(some)]
    assert max(np.diff(spent)) < 0.1 * (spent[-1] - spent[0])
