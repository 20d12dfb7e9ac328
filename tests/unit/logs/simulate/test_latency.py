import numpy as np
import pytest

from beast_ml.logs.simulate.config import LatencyConfig
from beast_ml.logs.simulate.latency import jitter_factor, latency_model
from beast_ml.testing.outcome_sets import random_outcomes


def test_known_latencies_are_kept_and_others_come_from_tokens_and_speed() -> None:
    tokens = np.array([[100.0, np.nan], [300.0, np.nan]])
    known = np.array([[np.nan, 7.0], [np.nan, np.nan]])
    outcomes = random_outcomes(np.random.default_rng(0), 2, 2, missing=0.0, output_tokens=tokens, latency_s=known)
    model = latency_model(outcomes, LatencyConfig(spread=0.0, tokens_per_s=50.0), np.random.default_rng(0))
    assert model.expected_s.tolist() == [[0.4 + 2.0, 7.0], [0.4 + 6.0, 0.4 + 200 / 50.0]]
    assert model.simulated.tolist() == [[True, False], [True, True]]


def test_a_models_typical_tokens_stand_in_for_unknown_ones() -> None:
    tokens = np.array([[100.0], [300.0], [np.nan]])
    outcomes = random_outcomes(np.random.default_rng(0), 3, 1, missing=0.0, output_tokens=tokens)
    model = latency_model(outcomes, LatencyConfig(spread=0.0, tokens_per_s=100.0), np.random.default_rng(0))
    assert model.expected_s[2, 0] == pytest.approx(0.4 + 2.0)


def test_the_first_token_comes_before_the_last() -> None:
    outcomes = random_outcomes(np.random.default_rng(0), missing=0.0, latency_s=np.full((40, 4), 0.01))
    model = latency_model(outcomes, LatencyConfig(), np.random.default_rng(0))
    assert (model.ttft_s < model.expected_s).all()


def test_jitter_has_mean_one() -> None:
    factors = jitter_factor(np.random.default_rng(0).standard_normal(200_000), 0.5)
    assert factors.mean() == pytest.approx(1.0, abs=0.01)
    assert jitter_factor(np.array([3.0]), 0.0).tolist() == [1.0]
