import numpy as np
import pytest

from beast_ml.operations.router_tuning.worth import gain_with_error, mean_utility, willingness_range
from beast_ml.policy.utility import Predictions

QUALITY = np.array([[0.2, 0.8], [0.4, 1.0]])
COST = np.array([[1.0, 4.0], [1.0, 4.0]])


def test_the_range_runs_around_the_price_of_the_better_model():
    willingness = willingness_range(QUALITY, COST)
    assert willingness[[0, -1]] == pytest.approx([3.0 / 0.6 / 2, 3.0 / 0.6 * 2])
    assert (np.diff(np.log(willingness)) > 0).all()


def test_queries_that_lack_an_outcome_set_no_price():
    missing = np.vstack([QUALITY, [np.nan, 0.0]]), np.vstack([COST, [1.0, 1e9]])
    assert willingness_range(*missing) == pytest.approx(willingness_range(QUALITY, COST))


def test_where_the_cheapest_is_the_best_quality_alone_counts():
    assert willingness_range(QUALITY, COST[:, ::-1]).tolist() == [np.inf]


def test_worth_is_realised_quality_less_cost_in_units_of_quality():
    told = Predictions(("a", "b"), np.array([[0.0, 1.0], [1.0, 0.0]]), COST)
    # At 2 a unit, 3 more for one unit of quality is too dear; at 10 it is not; the second query never wants b.
    worth = mean_utility(told, QUALITY, COST, np.array([2.0, 10.0]))
    assert worth == pytest.approx([np.mean([0.2 - 1 / 2, 0.8 - 4 / 10]), np.mean([0.4 - 1 / 2, 0.4 - 1 / 10])])


def test_at_any_price_cost_counts_nothing():
    told = Predictions(("a", "b"), np.array([[0.0, 1.0], [1.0, 0.0]]), COST)
    assert mean_utility(told, QUALITY, COST, np.array([np.inf])) == pytest.approx([0.8, 0.4])


def test_a_question_asked_twice_is_one_piece_of_evidence():
    gain = np.random.default_rng(0).normal(size=50)
    once = gain_with_error(gain, np.arange(50))
    twice = gain_with_error(np.repeat(gain, 2), np.repeat(np.arange(50), 2))
    assert once == pytest.approx((gain.mean(), gain.std(ddof=1) / np.sqrt(50)))
    assert twice == pytest.approx(once)
