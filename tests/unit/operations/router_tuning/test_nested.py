"""Nested validation over a small world, with a learner that is quick; and one real router scored on a fold."""

from collections import defaultdict
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.operations.router_tuning.fold_scores import FoldTask
from beast_ml.operations.router_tuning.nested import TuningPlan, tune_nested
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.storage import open_storage
from beast_ml.policy.learner import RouterLearner, realised_cost
from beast_ml.policy.operating_point import OperatingPoint, choose_operating_point
from beast_ml.policy.utility import Predictions
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.testing.worlds import make_world

PLAN = TuningPlan(n_trials=6, n_outer=2, n_inner=2, space=SearchSpace(("hashing",)), study="world")


@dataclass(frozen=True)
class WordRouter:
    """Means of the queries with the same first word, shrunk towards those of all: what it predicts with."""

    models: tuple[str, ...]
    by_word: dict
    usual: tuple
    operating_point: OperatingPoint | None = None
    context: tuple = ()

    @property
    def undistilled(self):
        return self

    def predict(self, prompts, contexts=None):
        found = [self.by_word.get(prompt.split()[0], self.usual) for prompt in prompts]
        quality, cost = (np.array([each[side] for each in found]) for side in (0, 1))
        return Predictions(self.models, quality, cost)


class WordLearner(RouterLearner):
    """Fits a `WordRouter`; of the settings, shrinkage and the quality target matter."""

    def fit(self, train, cost="cost_usd", seed=0, **_):
        spent, prior = realised_cost(train, cost), self.families.quality.prior_queries
        usual = train.quality.mean(axis=0), spent.mean(axis=0)
        rows = defaultdict(list)
        for i, prompt in enumerate(train.prompts):
            rows[prompt.split()[0]].append(i)
        by_word = {
            word: tuple(
                (values[at].sum(axis=0) + prior * mean) / (len(at) + prior)
                for values, mean in zip((train.quality, spent), usual, strict=True)
            )
            for word, at in rows.items()
        }
        router = WordRouter(train.models, by_word, usual)
        point = choose_operating_point(router.predict(train.prompts), train.quality, spent, self.quality_target)
        return replace(router, operating_point=point)


def test_too_few_questions_are_refused_before_anything_is_fitted(tmp_path):
    few = make_world(np.random.default_rng(0), 120).outcomes
    with pytest.raises(NotEnoughDataError, match="120 different questions"):
        tune_nested(few, "cost_usd", WordLearner("hashing"), PLAN, open_storage(f"sqlite:///{tmp_path}/t.db"))


def test_what_was_found_is_judged_on_every_question_once_and_found_again(tmp_path):
    outcomes, told = make_world(np.random.default_rng(0), 330).outcomes, []
    storage = open_storage(f"sqlite:///{tmp_path}/t.db")
    learner = WordLearner("hashing")
    found = tune_nested(outcomes, "cost_usd", learner, PLAN, storage, progress=lambda *step: told.append(step))
    assert found.n_queries == 330
    assert [len(fold.trials) for fold in found.outer] == [6, 6]
    assert len(found.trials) == 6
    gain = found.gain
    assert gain.worth.value == pytest.approx(gain.worth_tuned.value - gain.worth_defaults.value)
    assert gain.share.value == pytest.approx(gain.share_tuned.value - gain.share_defaults.value)
    if all(fold.best is fold.trials[0] for fold in found.outer):
        assert (gain.worth.low, gain.worth.high, gain.is_proven) == (0.0, 0.0, False)
        assert found.kept == PLAN.space.defaults
    assert ("outer folds", 2, 2) in told

    again = tune_nested(outcomes, "cost_usd", learner, PLAN, storage)
    assert again.gain == gain


def test_a_real_router_is_scored_on_the_queries_it_was_not_fitted_on():
    world = make_world(np.random.default_rng(0), 120).outcomes
    unknown = np.full_like(world.quality, np.nan)  # of tokens and latency: there is less to fit
    outcomes = replace(world, input_tokens=unknown, output_tokens=unknown, latency_s=unknown)
    network = NetworkConfig(hidden=(8,), epochs=1)
    families = FamiliesConfig(("kind_means",), network, student=network)
    task = FoldTask(
        outcomes, "cost_usd", np.array([0.01]), RouterLearner("hashing", families=PoolFamilies(families, families)), 0
    )
    settings = msgspec.structs.replace(PLAN.space.defaults, families=("kind_means",), n_networks=1, calibration="platt")
    test = np.arange(120) % 3 == 0
    scores = task.score(settings, ~test, test)
    assert len(scores.worth) == len(scores.quality) == len(scores.cost) == 40
    assert scores.latency_s is None
    costs = outcomes.cost_usd[test]
    assert all(any(np.isclose(spent, row, rtol=1e-6)) for spent, row in zip(scores.cost, costs, strict=True))


def test_a_trial_scores_the_same_alone_and_after_others_that_it_shares_parts_with():
    outcomes = make_world(np.random.default_rng(0), 120).outcomes
    unknown = np.full_like(outcomes.quality, np.nan)
    outcomes = replace(outcomes, input_tokens=unknown, output_tokens=unknown)
    network = NetworkConfig(hidden=(8,), epochs=1)
    families = FamiliesConfig(("kind_means", "network", "ridge", "low_rank", "neighbours"), network, student=network)
    learner = RouterLearner("hashing", families=PoolFamilies(families, families))
    task = FoldTask(outcomes, "cost_usd", np.array([0.01, 0.1]), learner, 0)
    test = np.arange(120) % 3 == 0
    usual = msgspec.structs.replace(PLAN.space.defaults, families=families.members, hidden=(8,), calibration="platt")
    other = msgspec.structs.replace(usual, prior_queries=80.0, n_networks=1)
    linear = msgspec.structs.replace(usual, families=("ridge", "low_rank"))
    after_others = [task.score(settings, ~test, test) for settings in (usual, other, linear, usual)]
    assert after_others[3] == after_others[0]
    for settings, scores in zip((other, linear), after_others[1:], strict=False):
        assert scores == replace(task, memos={}).score(settings, ~test, test)
