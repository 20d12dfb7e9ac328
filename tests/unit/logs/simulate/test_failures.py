import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import UnknownModelError
from beast_ml.logs.simulate.config import FailureConfig, PolicyConfig
from beast_ml.logs.simulate.failures import ERROR_KINDS, OK, TIMEOUT, call_models, failure_rates
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.testing.outcome_sets import random_outcomes

MODELS = ("a", "b", "c")


@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.floats(0, 1),
    timeouts=st.floats(0, 1),
    most=st.integers(1, 5),
)
def test_calls_go_on_until_one_answers_or_none_is_left(seed: int, rate: float, timeouts: float, most: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes = random_outcomes(rng, 20)
    policy = logging_policy(outcomes, PolicyConfig(kind="uniform"))
    queries = rng.choice(np.flatnonzero(policy.candidates.any(axis=1)), 60)
    chosen = policy.choose(queries, rng.random(60))
    chosen[:5] = -1
    config = FailureConfig(rate=rate, timeout_share=timeouts, max_attempts=most)
    calls = call_models(queries, chosen, policy, np.full(4, rate), config, rng.random((60, most)))
    n_candidates = policy.candidates[queries].sum(axis=1)
    for row in range(60):
        n = calls.n_calls[row]
        models, results = calls.models[row, :n].tolist(), calls.results[row, :n].tolist()
        if chosen[row] < 0:
            assert n == 0
            assert calls.served[row] == -1
            continue
        assert models[0] == chosen[row]
        assert len(set(models)) == n
        assert policy.candidates[queries[row], models].all()
        assert OK not in results[:-1]
        if results[-1] == OK:
            assert calls.served[row] == models[-1]
        else:
            assert calls.served[row] == -1
            assert n == min(most, n_candidates[row])
        assert calls.last_results[row] == results[-1]
        if timeouts == 1:
            assert set(results) <= {OK, TIMEOUT}


def test_fallback_follows_the_preference() -> None:
    outcomes = random_outcomes(np.random.default_rng(0), 1, 3, missing=0.0)
    policy = logging_policy(outcomes, PolicyConfig(kind="uniform"))
    best = policy.preference[0].tolist()
    config = FailureConfig(max_attempts=3)
    chosen = np.array([best[1]])
    calls = call_models(np.array([0]), chosen, policy, np.ones(3), config, np.full((1, 3), 0.5))
    assert calls.models[0].tolist() == [best[1], best[0], best[2]]
    assert {ERROR_KINDS[i] for i in calls.results[0]} == {"server_error"}


def test_rates_are_spread_around_their_mean_and_can_be_given() -> None:
    config = FailureConfig(rate=0.02, spread=0.5, model_rates={"m1": 0.4})
    rates = failure_rates([f"m{i}" for i in range(4000)], config, np.random.default_rng(0))
    assert rates[1] == 0.4
    assert np.delete(rates, 1).mean() == pytest.approx(0.02, rel=0.05)
    assert np.unique(rates).size > 3000
    assert (failure_rates(MODELS, FailureConfig(rate=1.0), np.random.default_rng(0)) <= 1).all()


def test_a_rate_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="given for 'z'; the models are a, b, c"):
        failure_rates(MODELS, FailureConfig(model_rates={"z": 0.1}), np.random.default_rng(0))
