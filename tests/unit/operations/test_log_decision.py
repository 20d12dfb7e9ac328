from dataclasses import replace

import numpy as np

from beast_ml.evaluation.off_policy.rounds import LoggedRounds
from beast_ml.operations.log_decision import choose_point, decide_from_log, decisions_at
from beast_ml.policy.operating_point import OperatingPoint
from beast_ml.policy.utility import Predictions

MODELS = ("cheap", "dear", "poor")
COST = np.array([1.0, 10.0, 1.0])


def world(n, shares, seed=0, skill=((0.9, 0.95, 0.3), (0.2, 0.95, 0.3))):
    """Two kinds of request; a log that chose by fixed shares; predictions that are right on average."""
    rng = np.random.default_rng(seed)
    truth = np.array(skill)[rng.integers(2, size=n)]
    chosen = rng.choice(3, size=n, p=shares)
    rows = np.arange(n)
    reward = (rng.random(n) < truth[rows, chosen]).astype(float)
    logging = np.tile(shares, (n, 1))
    quality = LoggedRounds(chosen, np.array(shares)[chosen], reward, truth, rows, logging)
    costs = np.tile(COST, (n, 1))
    cost = LoggedRounds(chosen, np.array(shares)[chosen], costs[rows, chosen], costs, rows, logging)
    return Predictions(MODELS, truth, costs), quality, cost, rows % 5, truth


def test_the_best_that_the_money_of_the_log_buys_is_taken():
    predictions, quality, cost, folds, truth = world(3000, [0.2, 0.6, 0.2])
    decision = decide_from_log(predictions, quality, cost, folds)
    assert decision.promoted
    assert decision.point.kind == "router"
    assert cost.value(decisions_at(decision.point, predictions)) <= cost.logged_value()
    value = truth[np.arange(3000), decisions_at(decision.point, predictions)].mean()
    assert decision.gain[1] <= value - (truth @ [0.2, 0.6, 0.2]).mean() <= decision.gain[2]
    assert decision.effective > 900


def test_where_only_the_dear_model_is_better_it_is_taken_alone():
    skill = ((0.5, 0.9, 0.5), (0.5, 0.9, 0.5))
    decision = decide_from_log(*world(3000, [0.4, 0.2, 0.4], skill=skill)[:4])
    assert decision.promoted
    assert (decision.point.kind, decision.point.model) == ("single", "dear")
    assert decision.saving[2] < 0


def test_a_log_of_the_best_policy_is_left_alone():
    skill = ((0.9, 0.5, 0.5), (0.9, 0.5, 0.5))
    decision = decide_from_log(*world(2000, [0.999, 0.0005, 0.0005], skill=skill)[:4])
    assert not decision.promoted
    assert decision.gain == (0.0, 0.0, 0.0)


def test_without_costs_quality_alone_decides():
    predictions, quality, _, folds, _ = world(3000, [1 / 3, 1 / 3, 1 / 3])
    free = Predictions(MODELS, predictions.quality, np.zeros_like(predictions.cost))
    decision = decide_from_log(free, quality, None, folds)
    assert decision.promoted
    assert decision.saving is None


def test_a_promise_that_was_never_tested_does_not_count():
    """A predictor is mistaken about a model that no request tried, for one request in seven."""
    predictions, tried, cost, folds, truth = world(1500, [0.0002, 0.9996, 0.0002])
    always = np.ones(1500, dtype=int)
    reward = (np.random.default_rng(1).random(1500) < 0.95).astype(float)
    promised = np.where((np.arange(1500) % 7 == 0)[:, None] & (np.arange(3) == 2), 0.999, truth)
    quality = replace(tried, chosen=always, propensity=np.full(1500, 0.9996), reward=reward, predicted=promised)
    cost = replace(cost, chosen=always, propensity=quality.propensity, reward=np.full(1500, COST[1]))
    predictions = Predictions(MODELS, promised, predictions.cost)
    assert choose_point(predictions, replace(quality, logging=None), cost).kind == "router"
    point = choose_point(predictions, quality, cost)
    assert point is None or (point.kind, point.model) == ("single", "dear")
    decision = decide_from_log(predictions, quality, cost, folds)
    assert not decision.promoted or decision.point.kind == "single"


def test_too_few_effective_questions_prove_nothing():
    decision = decide_from_log(*world(240, [1 / 3, 1 / 3, 1 / 3])[:4])
    assert not decision.promoted


def test_decisions_follow_the_point():
    predictions = world(50, [1 / 3, 1 / 3, 1 / 3])[0]
    alone = decisions_at(OperatingPoint("single", "dear"), predictions)
    routed = decisions_at(OperatingPoint("router", "dear", willingness_to_pay=1e-9), predictions)
    np.testing.assert_array_equal(alone, 1)
    np.testing.assert_array_equal(routed, np.where(predictions.quality[:, 0] > 0.5, 0, 2))
