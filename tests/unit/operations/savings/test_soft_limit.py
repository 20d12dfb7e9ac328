"""What a budget's soft limit makes of a day."""

import numpy as np

from beast_ml.domain import Objective
from beast_ml.operations.savings.decider import Decider
from beast_ml.operations.savings.soft_limit import under_soft_limit
from beast_ml.policy.spec import PolicySpec
from beast_ml.policy.utility import Predictions


def decider(n: int) -> Decider:
    quality, cost = np.tile([0.9, 0.5], (n, 1)), np.tile([1.0, 0.1], (n, 1))
    policy = PolicySpec("router", "dear", Objective(willingness_to_pay=10.0))
    return Decider(Predictions(("dear", "cheap"), quality, cost), policy)


def test_a_day_begins_dear_and_turns_cheap_as_the_budget_burns_and_the_next_begins_anew() -> None:
    at = np.concatenate([np.arange(20) * 60.0, 86_400.0 + np.arange(2) * 60.0])
    decisions, over = under_soft_limit(decider(22), 10.0, at, limit_usd=12.0, soft_share=0.5)
    assert decisions[:6].tolist() == [0] * 6
    assert decisions[19] == 1
    assert decisions[20:].tolist() == [0, 0]
    assert over == 0.0


def test_requests_that_would_find_it_spent_are_counted() -> None:
    _, over = under_soft_limit(decider(10), 10.0, np.arange(10) * 60.0, limit_usd=0.5, soft_share=0.5)
    assert over == 0.9
