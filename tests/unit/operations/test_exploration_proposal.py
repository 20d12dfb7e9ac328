from dataclasses import replace

import numpy as np
import pytest

from beast_ml.operations.exploration_proposal import propose_exploration
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.operating_point import OperatingPoint


@pytest.fixture(scope="module")
def served(fitted, world):
    router = replace(fitted, operating_point=OperatingPoint("router", "large", 0.03))
    return router, router.pool.predictors.predict(router.rows(world.outcomes.prompts[:200]))


def unsure(expected, caution):
    return replace(expected, caution=np.full(expected.quality.shape, caution))


def test_less_evidence_makes_exploring_worth_more(served):
    router, expected = served
    much, some, little = (propose_exploration(router, unsure(expected, caution)) for caution in (0.5, 0.2, 0.05))
    assert much.open_quality > some.open_quality > little.open_quality > 0
    assert much.settings.max_loss > some.settings.max_loss
    assert not much.is_set
    for each in (much, some):
        assert 0 < each.loss <= each.settings.max_loss
        assert 0 < each.rate <= each.settings.max_rate
        assert (
            f"--explore {each.settings.max_loss:g}, the router tries another model on {each.rate:.1%}"
            in each.sentence()
        )
    assert some.to_dict()["settings"]["max_loss"] == some.settings.max_loss


def test_nothing_is_proposed_where_everything_is_known(served):
    router, expected = served
    for known in (expected, unsure(expected, 0.0)):
        found = propose_exploration(router, known)
        assert (found.settings, found.rate, found.loss) == (None, 0.0, 0.0)
        assert found.sentence().endswith("That is not worth exploring.")


def test_settings_that_are_given_are_told_of(served):
    router, expected = served
    found = propose_exploration(replace(router, exploration=Exploration(0.004)), unsure(expected, 0.3))
    assert found.is_set
    assert found.settings.max_loss == 0.004
    assert "The router tries another model on" in found.sentence()


def test_a_policy_of_one_model_explores_by_quality_alone(served):
    router, expected = served
    single = replace(router, operating_point=OperatingPoint("single", "medium"))
    found = propose_exploration(single, unsure(expected, 0.3))
    assert 0 < found.loss <= found.settings.max_loss
    assert found.extra_cost_usd is not None
