from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.demand import AskedRequest, warming_candidates
from beast_ml.cache.forecast import Forecast
from beast_ml.cache.lifetimes import fit_lifetimes
from beast_ml.cache.warming import (
    WarmingCandidate,
    WarmingPlan,
    execute_plan,
    expected_hits,
    plan_warming,
)
from beast_ml.errors import InputError, UnavailableError

HOUR_S, DAY_S = 3_600.0, 86_400.0


def candidate(key, cost_usd, *gains):
    texts = tuple(f"{key}{i}" for i in range(len(gains)))
    return WarmingCandidate(key, "acme", texts, cost_usd, gains, 2.0)


def best_possible(candidates, budget_usd):
    """Return the most expected hits of all plans that keep to the budget."""
    takes = product(*(range(len(each.texts) + 1) for each in candidates))
    worth = (
        sum(sum(each.gains[:n]) for each, n in zip(candidates, take, strict=True))
        for take in takes
        if sum(each.cost_usd * n for each, n in zip(candidates, take, strict=True)) <= budget_usd + 1e-12
    )
    return max(worth)


GAINS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3).map(lambda found: tuple(sorted(found, reverse=True)))


@given(st.lists(GAINS, min_size=1, max_size=5), st.integers(0, 9))
def test_no_plan_is_better_where_all_answers_cost_the_same(gains, n):
    candidates = [candidate(f"k{i}", 1.0, *each) for i, each in enumerate(gains)]
    plan = plan_warming(candidates, float(n))
    assert plan.cost_usd <= n
    assert plan.expected_hits == pytest.approx(best_possible(candidates, float(n)))


@given(st.lists(st.tuples(st.integers(1, 9), GAINS), min_size=1, max_size=5), st.integers(0, 20))
def test_a_plan_keeps_to_its_budget_and_has_at_least_half_of_the_most(offers, budget):
    candidates = [candidate(f"k{i}", float(cost), *gains) for i, (cost, gains) in enumerate(offers)]
    plan = plan_warming(candidates, float(budget))
    assert plan.cost_usd <= budget + 1e-9
    assert plan.expected_hits >= 0.5 * best_possible(candidates, float(budget)) - 1e-9


def test_most_hits_per_dollar_come_first_and_what_is_free_before_all():
    plan = plan_warming([candidate("dear", 2.0, 0.9), candidate("cheap", 0.5, 0.4), candidate("free", 0.0, 0.1)], 9.0)
    assert [each.key for each in plan.answers] == ["free", "cheap", "dear"]
    assert plan.to_dict()["expected_saved_usd"] == pytest.approx(0.9 * 2.0 + 0.4 * 0.5)


def test_small_gains_are_left_out():
    plan = plan_warming([candidate("a", 1.0, 0.5, 0.1)], 9.0, least_gain=0.2)
    assert [each.text for each in plan.answers] == ["a0"]


def test_a_plan_is_made_until_the_money_is_gone():
    plan = plan_warming([candidate(name, 1.0, gain) for name, gain in (("a", 0.9), ("b", 0.8), ("c", 0.7))], 3.0)
    asked = []

    def answer(planned):
        asked.append(planned.key)
        if planned.key == "a":
            raise UnavailableError("not now")
        return 2.5  # dearer than planned

    result = execute_plan(plan, answer)
    assert asked == ["a", "b"]
    assert (result.n_made, result.n_failed, result.n_left, result.spent_usd) == (1, 1, 1, 2.5)


def test_a_gain_is_the_probability_that_anybody_asks_within_the_life():
    forecast = Forecast(("a", "b", "c"), np.full((4, 3), 0.5), np.full(3, 1e9), 24.0, 20.0)
    gains = expected_hits(forecast, [2 * HOUR_S, 0.0, 99 * HOUR_S], still_right=0.9)
    assert gains == pytest.approx([0.9 * (1 - np.exp(-1.0)), 0.0, 0.9 * (1 - np.exp(-2.0))])
    assert expected_hits(forecast, [1.5 * HOUR_S] * 3)[0] == pytest.approx(1 - np.exp(-0.75))


def test_a_plan_comes_back_from_its_plain_values():
    plan = plan_warming([candidate("a", 0.5, 0.9), candidate("b", 0.25, 0.3)], 1.0)
    assert WarmingPlan.from_dict(msgspec.json.decode(msgspec.json.encode(plan.to_dict()))) == plan
    with pytest.raises(InputError, match="no plan"):
        WarmingPlan.from_dict({"answers": [{"key": 3}]})


def test_only_a_tenants_own_repeated_questions_are_candidates():
    daily = [AskedRequest(day * DAY_S + 9 * HOUR_S, "acme", "What is new?", "law", 0.02, 3.0) for day in range(6)]
    daily += [AskedRequest(day * DAY_S + 9.1 * HOUR_S, "acme", "what  is new?", "law", None, None) for day in range(5)]
    others = [AskedRequest(DAY_S, "other", "what is new?"), AskedRequest(2 * DAY_S, "acme", "once")]
    later = [AskedRequest(9 * DAY_S, "acme", "of the future")] * 5
    found, forecast = warming_candidates(daily + others + later, fit_lifetimes([]), 6 * DAY_S)
    (one,) = found
    assert (one.tenant_id, one.texts, one.cost_usd, one.latency_s) == ("acme", ("What is new?",), 0.02, 3.0)
    assert 0.5 < one.gains[0] < 1.0
    assert len(forecast.expected) == 24
    assert warming_candidates(daily, fit_lifetimes([]), 6 * DAY_S, is_cached=lambda *_: True)[0] == []


@pytest.mark.parametrize(("cost", "gains"), [(1.0, (0.1, 0.2)), (-1.0, (0.2,)), (1.0, (-0.1,)), (1.0, (0.1, 0.1, 0.2))])
def test_says_what_is_no_candidate(cost, gains):
    with pytest.raises(InputError):
        candidate("a", cost, *gains)


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_says_what_is_no_budget(budget):
    with pytest.raises(InputError, match="number of dollars"):
        plan_warming([], budget)
