"""Nested validation over a small world with routers that are quick to fit."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.operations.router_tuning.nested import TuningPlan, tune_nested
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.storage import open_storage
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.testing.worlds import make_world

TINY = FamiliesConfig(("ridge",), NetworkConfig(hidden=(8,), epochs=2), student=NetworkConfig(hidden=(8,), epochs=2))
LEARNER = RouterLearner("hashing", families=PoolFamilies(TINY, TINY))


@dataclass(frozen=True)
class QuickSpace(SearchSpace):
    """Means of kinds whatever is drawn."""

    def settings(self, params):
        quick = {"families": ("kind_means",), "n_networks": 1, "calibration": "platt"}
        return msgspec.structs.replace(super().settings(params), **quick)


PLAN = TuningPlan(n_trials=2, n_outer=2, n_inner=2, space=QuickSpace(("hashing",)), study="world")


def test_too_few_questions_are_refused_before_anything_is_fitted(tmp_path):
    few = make_world(np.random.default_rng(0), 120).outcomes
    with pytest.raises(NotEnoughDataError, match="120 different questions"):
        tune_nested(few, "cost_usd", LEARNER, PLAN, open_storage(f"sqlite:///{tmp_path}/t.db"))


@pytest.mark.slow
def test_what_was_found_is_judged_on_every_question_once_and_found_again(tmp_path):
    world, told = make_world(np.random.default_rng(0), 310).outcomes, []
    unknown = np.full_like(world.quality, np.nan)  # of tokens and latency: there is less to fit
    outcomes = replace(world, input_tokens=unknown, output_tokens=unknown, latency_s=unknown)
    storage = open_storage(f"sqlite:///{tmp_path}/t.db")
    found = tune_nested(outcomes, "cost_usd", LEARNER, PLAN, storage, progress=lambda *step: told.append(step))
    assert found.n_queries == 310
    assert [len(fold.trials) for fold in found.outer] == [2, 2]
    assert len(found.trials) == 2
    gain = found.gain
    assert gain.worth.value == pytest.approx(gain.worth_tuned.value - gain.worth_defaults.value)
    assert gain.share.value == pytest.approx(gain.share_tuned.value - gain.share_defaults.value)
    if all(fold.best is fold.trials[0] for fold in found.outer):
        assert (gain.worth.low, gain.worth.high, gain.is_proven) == (0.0, 0.0, False)
        assert found.kept == PLAN.space.defaults
    assert ("outer folds", 2, 2) in told

    again = tune_nested(outcomes, "cost_usd", LEARNER, PLAN, storage)
    assert again.gain == gain
