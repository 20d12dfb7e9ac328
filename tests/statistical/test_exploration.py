"""Models are chosen as often as their logged propensities say: what off-policy estimates rest on."""

import numpy as np
import pytest
from scipy.stats import chisquare

from beast_ml.domain import Objective
from beast_ml.policy.decide import Constraints, decide
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.pool import Expected

MODELS = ("large", "medium", "small")
EXPECTED = Expected(np.array([[0.9, 0.8, 0.5]]), np.array([[1e-2, 2e-3, 1e-4]]))
N = 20_000


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("candidates", [None, ("large", "small")])
def test_frequencies_match_propensities(rate, candidates):
    policy = PolicySpec("router", "large", Objective(0.01), exploration_rate=rate)
    rng = np.random.default_rng(17)
    counts, propensity = np.zeros(3), np.zeros(3)
    for uniform, pick in rng.random((N, 2)):
        choice = decide(policy, MODELS, EXPECTED, 0, Constraints(), candidates, uniform, pick)
        counts[choice.chosen] += 1
        propensity[choice.chosen] = choice.propensity
    possible = propensity > 0
    assert possible.sum() == (3 if candidates is None else 2)
    assert propensity.sum() == pytest.approx(1.0)
    assert chisquare(counts[possible], N * propensity[possible]).pvalue > 1e-3


def test_weighting_by_propensity_recovers_the_mean_of_every_model():
    policy = PolicySpec("router", "large", Objective(0.01), exploration_rate=0.3)
    rng = np.random.default_rng(5)
    estimate = np.zeros(3)
    for uniform, pick in rng.random((N, 2)):
        choice = decide(policy, MODELS, EXPECTED, 0, Constraints(), None, uniform, pick)
        right = rng.random() < EXPECTED.quality[0, choice.chosen]
        estimate[choice.chosen] += right / choice.propensity / N
    np.testing.assert_allclose(estimate, EXPECTED.quality[0], atol=0.06)
