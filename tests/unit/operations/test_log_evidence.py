from dataclasses import replace

import numpy as np
import pytest

from beast_ml.bundle.write import policy_of
from beast_ml.operations.log_evidence import served_decisions
from beast_ml.policy.decide import Constraints, decide_batch
from beast_ml.policy.operating_point import OperatingPoint


@pytest.mark.parametrize("willingness", [0.003, 0.03, 0.3])
def test_a_router_is_judged_on_the_choices_that_it_will_be_served_with(fitted, world, willingness):
    router = replace(fitted, operating_point=OperatingPoint("router", "large", willingness))
    expected = router.pool.predictors.predict(router.rows(world.outcomes.prompts))
    shape = expected.quality.shape
    rng = np.random.default_rng(0)
    expected = replace(expected, failure=rng.uniform(0.0, 0.6, shape), caution=rng.uniform(0.0, 0.2, shape))
    served = [choice.chosen for choice in decide_batch(policy_of(router), router.models, expected, Constraints())]
    judged = served_decisions(router, expected)
    assert judged.tolist() == served
    assert judged.tolist() != served_decisions(router, replace(expected, failure=None)).tolist()


def test_a_single_model_always_answers(fitted, world):
    router = replace(fitted, operating_point=OperatingPoint("single", "small"))
    expected = router.pool.predictors.predict(router.rows(world.outcomes.prompts))
    assert (served_decisions(router, expected) == router.models.index("small")).all()
