"""What a policy becomes while a budget burns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain import Objective
from beast_ml.policy.decide import Constraints, rank_batch
from beast_ml.policy.spec import PolicySpec
from beast_ml.policy.thrift import thrifty_router, thrifty_single
from beast_ml.predictors.pool import Expected

MODELS = ("dear", "large", "medium", "small")
SINGLE = PolicySpec("single", "large", Objective(willingness_to_pay=0.0), "none")
QUALITY = st.lists(st.floats(-0.5, 1), min_size=4, max_size=4)
COST = st.lists(st.floats(1e-6, 1), min_size=4, max_size=4)


def expected(quality=(0.95, 0.9, 0.8, 0.5), cost=(5e-2, 1e-2, 2e-3, 1e-4)):
    return Expected(np.array([quality]), np.array([cost]))


def at(thrift, what, constraints=None, candidates=None):
    asked = (constraints or Constraints(), candidates)
    (standing,) = rank_batch(SINGLE, MODELS, what, *asked)
    return rank_batch(thrifty_single(SINGLE, MODELS, what, standing.allowed, thrift), MODELS, what, *asked)[0].allowed


def test_a_single_model_gives_way_step_by_step_to_the_cheapest():
    chosen = [MODELS[at(thrift, expected())[0]] for thrift in (1e-300, 1e-9, 0.01, 0.4, 0.9, 1.0)]
    assert chosen == ["large", "large", "large", "medium", "small", "small"]


def test_those_requests_leave_it_first_that_lose_the_least_by_it():
    left = [
        next(t for t in np.linspace(0.001, 1, 1000) if at(t, expected((0.9, 0.9, 0.9 - lost, 0.0)))[0] != 1)
        for lost in (0.0, 0.1, 0.3, 0.6)
    ]
    assert left == sorted(set(left))
    assert (left[0] > 0.05, left[-1] < 0.8) == (True, True)


@given(QUALITY, COST, st.lists(st.floats(0, 1, exclude_min=True), min_size=2, max_size=5))
def test_more_thrift_never_costs_more_and_at_the_end_the_cheapest_answers(quality, cost, thrifts):
    what = expected(quality, cost)
    levels = [1e-9, *sorted(thrifts), 1.0]
    costs = [cost[at(thrift, what)[0]] for thrift in levels]
    assert at(1e-9, what)[0] == 1
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == min(cost)


def test_where_the_single_model_may_not_be_called_the_next_best_gives_way_likewise():
    others = ["medium", "small"]
    assert [MODELS[at(thrift, expected(), candidates=others)[0]] for thrift in (1e-9, 1.0)] == others
    assert MODELS[at(1.0, expected(), Constraints(min_quality=0.7))[0]] == "medium"


def test_all_others_remain_fallbacks():
    assert {frozenset(at(thrift, expected())) for thrift in (1e-9, 0.5, 1.0)} == {frozenset(range(4))}


def test_without_costs_nobody_is_known_to_be_cheaper():
    what = Expected(np.array([[0.9, 0.8, 0.7, 0.6]]))
    assert thrifty_single(SINGLE, MODELS, what, (1, 0, 2, 3), 1.0) is SINGLE


@pytest.mark.parametrize(("thrift", "left"), [(0.25, 0.75), (1.0, 0.0)])
def test_a_router_is_willing_to_pay_less(thrift, left):
    router = PolicySpec("router", "large", Objective(willingness_to_pay=2.0, min_quality=0.3))
    assert thrifty_router(router, thrift).objective == Objective(willingness_to_pay=2.0 * left, min_quality=0.3)
