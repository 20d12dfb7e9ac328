"""Models are chosen as often as their logged propensities say: what off-policy estimates rest on."""

import numpy as np
import pytest
from scipy.stats import chisquare

from beast_ml.domain import Objective
from beast_ml.policy.decide import Constraints, decide
from beast_ml.policy.exploration import Exploration, expected_best, probability_of_best
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.pool import Expected

MODELS = ("large", "medium", "small")
EXPECTED = Expected(np.array([[0.9, 0.8, 0.5]]), np.array([[1e-2, 2e-3, 1e-4]]))
UNSURE = Expected(EXPECTED.quality, EXPECTED.cost_usd, caution=np.array([[0.02, 0.3, 0.6]]))
WAYS = {
    "uniform, 0.05": PolicySpec("router", "large", Objective(0.01), exploration_rate=0.05),
    "uniform, 0.3": PolicySpec("router", "large", Objective(0.01), exploration_rate=0.3),
    "uniform, 1": PolicySpec("router", "large", Objective(0.01), exploration_rate=1.0),
    "by evidence": PolicySpec("router", "large", Objective(0.02), exploration=Exploration(0.1)),
    "by evidence, little": PolicySpec("router", "large", Objective(0.02), exploration=Exploration(0.01)),
}
N = 20_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("candidates", [None, ("large", "small")])
def test_frequencies_match_propensities(way, candidates):
    rng = np.random.default_rng(17)
    counts, propensity = np.zeros(3), np.zeros(3)
    for uniform in rng.random(N):
        choice = decide(WAYS[way], MODELS, UNSURE, 0, Constraints(), candidates, uniform)
        counts[choice.chosen] += 1
        propensity[choice.chosen] = choice.propensity
    possible = propensity > 0
    assert possible.sum() == (3 if candidates is None and way != "by evidence, little" else 2)
    assert propensity.sum() == pytest.approx(1.0)
    assert chisquare(counts[possible], N * propensity[possible]).pvalue > 1e-3


def test_weighting_by_propensity_recovers_the_mean_of_every_model():
    policy = WAYS["uniform, 0.3"]
    rng = np.random.default_rng(5)
    estimate = np.zeros(3)
    for uniform in rng.random(N):
        choice = decide(policy, MODELS, EXPECTED, 0, Constraints(), None, uniform)
        right = rng.random() < EXPECTED.quality[0, choice.chosen]
        estimate[choice.chosen] += right / choice.propensity / N
    np.testing.assert_allclose(estimate, EXPECTED.quality[0], atol=0.06)


def test_candidates_are_the_best_as_often_as_is_computed():
    rng = np.random.default_rng(3)
    mean, width = rng.normal(0.6, 0.1, (4, 7)), rng.uniform(0.0, 0.2, (4, 7))
    draws = mean + width * rng.standard_normal((N, 4, 7))
    often = np.stack([(draws.argmax(axis=2) == j).mean(axis=0) for j in range(7)], axis=1)
    np.testing.assert_allclose(probability_of_best(mean, width), often, atol=0.015)
    np.testing.assert_allclose(expected_best(mean, width), draws.max(axis=2).mean(axis=0), atol=0.004)
