"""Savings reports where the truth is known: what was chosen on one half holds on the other."""

import numpy as np
import pytest

from beast_ml.benchmarks.learning.savings_logs import SavingsRecord, SavingsWorld, record_of
from beast_ml.evaluation.off_policy.estimators import PerRound
from beast_ml.evaluation.off_policy.intervals import Questions, bootstrap, resample, simultaneous
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.simulate.config import PolicyConfig
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def records() -> list[SavingsRecord]:
    world = SavingsWorld.of(make_world(np.random.default_rng(0), 500).outcomes, HashingEncoder())
    policy, rng = logging_policy(world.outcomes, PolicyConfig("uniform")), np.random.default_rng(2)
    priors = world.priors(policy, 1500, rng)
    return [record_of(world, policy, 1500, priors, rng, 150) for _ in range(50)]


def test_the_checked_figure_of_the_chosen_switch_holds_the_truth(records) -> None:
    chosen = [each for each in records if each.recommends]
    assert len(chosen) >= 30
    assert np.mean([each.saving_held for each in chosen]) >= 0.86
    assert np.mean([each.quality_held for each in chosen]) >= 0.86
    error = np.array([each.checked_saving - each.true_saving for each in chosen])
    assert abs(error.mean()) < 4 * error.std() / len(error) ** 0.5 + 0.002


def test_intervals_of_all_switches_hold_at_once(records) -> None:
    assert np.mean([each.all_held for each in records]) >= 0.86


def test_no_recommended_switch_loses_more_than_the_margin(records) -> None:
    lost = [each.true_quality < -0.01 for each in records if each.recommends]
    assert np.mean(lost) <= 0.08


def test_simultaneous_intervals_hold_where_single_ones_fail() -> None:
    held = {"single": 0, "simultaneous": 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = [PerRound(rng.normal(size=200), np.ones(200), 200.0) for _ in range(20)]
        questions = Questions.of(np.arange(200))
        single = bootstrap(rows, questions, resample(rng, 200, 300))
        together = simultaneous(rows, questions, resample(rng, 200, 300), np.ones(20, dtype=bool))
        held["single"] += all(low <= 0 <= high for low, high in single)
        held["simultaneous"] += all(low <= 0 <= high for low, high in together)
    assert held["single"] / 150 < 0.6
    assert held["simultaneous"] / 150 > 0.88
