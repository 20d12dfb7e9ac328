import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.operations.costs.policy_what_if import what_if_policy
from beast_ml.testing.exploring_logs import exploring_log

ENCODER = HashingEncoder()


@pytest.fixture(scope="module")
def logged():
    return exploring_log(requests=1500)


def test_paying_nothing_for_quality_costs_what_the_cheapest_model_does(logged) -> None:
    found = what_if_policy(logged, ENCODER, None, 0.0)
    costs = logged.matrix.cost_usd[:, logged.matrix.models.index("small")]
    true = float(np.nanmean(costs)) * len(logged.chosen)  # epsilon is drawn apart from the prompt: a fair sample
    cost, low = (found.logged_usd * (1.0 - share) for share in (found.estimate.saving, found.estimate.saving_high))
    high = found.logged_usd * (1.0 - found.estimate.saving_low)
    assert low * 0.97 <= true <= high * 1.03
    assert found.logged_usd == pytest.approx(np.nansum(logged.matrix.cost_usd), rel=0.01)
    assert f"would have cost ${cost:,.6g}" in found.sentence()
    assert found.to_dict()["requests"] == len(logged.chosen)


def test_paying_more_costs_more(logged) -> None:
    little, much = (what_if_policy(logged, ENCODER, None, willing) for willing in (0.0, 1e3))
    assert much.estimate.saving < little.estimate.saving
    assert much.estimate.quality > little.estimate.quality


def test_what_has_no_policy_is_refused(logged) -> None:
    with pytest.raises(InputError, match="--willingness"):
        what_if_policy(logged, ENCODER, None)
    with pytest.raises(InputError, match="from 0"):
        what_if_policy(logged, ENCODER, None, -1.0)
