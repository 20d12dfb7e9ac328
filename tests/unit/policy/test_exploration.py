import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.policy.exploration import Exploration, expected_best, explore, probability_of_best
from beast_ml.policy.spec import PolicySpec


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"max_loss": 0.0}, "`max_loss` == 0.0, must be above 0 and at most 1"),
        ({"max_loss": float("nan")}, "`max_loss` == nan"),
        ({"max_loss": 0.1, "max_extra_cost_usd": -1.0}, "`max_extra_cost_usd` == -1.0, must be 0 or more"),
        ({"max_loss": 0.1, "max_extra_cost_usd": float("inf")}, "`max_extra_cost_usd` == inf"),
        ({"max_loss": 0.1, "min_propensity": 1e-5}, r"`min_propensity` == 1e-05, must be in 0.0001\.\.0.5"),
        ({"max_loss": 0.1, "max_rate": 0.001}, r"`max_rate` == 0.001, must be in 0.01\.\.0.99"),
        ({"max_loss": 0.1, "max_rate": 0.995}, r"`max_rate` == 0.995"),
    ],
)
def test_bounds_that_cannot_be_are_refused(told, message):
    with pytest.raises(InputError, match=message):
        Exploration(**told)


def test_a_policy_explores_one_way_and_is_kept_in_its_file():
    how = Exploration(0.01, 1e-4, 0.1, 0.02)
    policy = PolicySpec("router", "m", Objective(1.0), exploration=how)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=PolicySpec) == policy
    with pytest.raises(InputError, match="give one"):
        PolicySpec("router", "m", Objective(1.0), exploration_rate=0.1, exploration=how)


def test_a_policy_file_from_before_there_was_exploration_by_evidence_loads():
    text = b'{"kind":"router","model":"m","objective":{"willingness_to_pay":1},"cost":"none","exploration_rate":0.1}'
    assert msgspec.json.decode(text, type=PolicySpec).exploration is None


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_probabilities_of_being_the_best_sum_to_one_whatever_is_known(candidates):
    mean, width = (np.array([column]) for column in zip(*candidates, strict=True))
    shares = probability_of_best(mean, width)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0)
    assert expected_best(mean, width)[0] >= mean.max() - 1e-3 * (1 + width.max())


def test_what_is_not_allowed_is_never_tried_and_does_not_matter():
    mean, width = np.array([[0.5, 0.48, 0.49, 0.9]]), np.full((1, 4), 0.1)
    allowed, first = np.array([[True, True, False, False]]), np.array([0])
    (tried,) = explore(Exploration(0.5, max_rate=0.9), mean, width, first, allowed)
    (alone,) = explore(Exploration(0.5, max_rate=0.9), mean[:, :2], width[:, :2], first)
    assert [j for j, _ in tried] == [1]
    assert tried[0][1] == pytest.approx(alone[0][1])


def test_a_small_bound_goes_to_the_most_promising_at_the_least_propensity():
    mean, width = np.array([[0.6, 0.5, 0.4, 0.3]]), np.full((1, 4), 0.2)
    first = np.array([0])
    names = [
        [j for j, _ in explore(Exploration(loss, min_propensity=0.02), mean, width, first)[0]]
        for loss in (0.0005, 0.003, 0.02)
    ]
    assert names == [[], [1], [1, 2]]
