"""Do off-policy intervals hold the truth, and does the verdict flag the logs on which they do not?"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beast_ml.benchmarks.learning.coverage import label_cell, policy_cells
from beast_ml.benchmarks.learning.simulated_logs import LogWorld, exploring_policy
from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.evaluation.off_policy.diagnostics import diagnose
from beast_ml.evaluation.off_policy.estimators import TargetRounds
from beast_ml.evaluation.off_policy.verdict import judge_log
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.testing.worlds import make_world

N_LOGS, N_ROUNDS = 150, 900


@pytest.fixture(scope="module")
def world():
    return LogWorld.of(make_world(np.random.default_rng(0), 4000).outcomes, HashingEncoder())


def cells(world, policy, n_logs=N_LOGS):
    return policy_cells(world, logging_policy(world.outcomes, LOGGING_POLICIES[policy]), n_logs, N_ROUNDS, 1)


def test_under_good_overlap_ips_and_dr_cover_and_dr_is_nearest(world):
    for cell in cells(world, "uniform").values():
        assert cell.answers.count("trust") > 0.9 * N_LOGS
        for estimator in ("ips", "snips", "dr", "switch_dr"):
            # 150 logs: the standard error of a coverage of .95 is .018.
            assert 0.90 <= cell.estimators[estimator].coverage["normal"] <= 0.99
            assert cell.estimators[estimator].coverage["bootstrap"] >= 0.89
            assert cell.estimators[estimator].coverage["always_valid"] >= 0.97
            assert cell.estimators[estimator].coverage["bernstein"] >= 0.97
        assert cell.estimators["dr"].rmse < 0.8 * cell.estimators["ips"].rmse
        assert cell.estimators["dm"].coverage["normal"] < 0.7


def test_under_bad_overlap_hardly_any_log_is_trusted(world):
    cell = cells(world, "epsilon-0.05", 60)["second-best model"]
    assert cell.answers.count("trust") <= 3
    assert cell.effective < 30


def test_predictions_save_labels_and_strange_ones_neither_save_nor_mislead(world):
    policy = logging_policy(world.outcomes, LOGGING_POLICIES["uniform"])
    found = label_cell(world, policy, N_LOGS, N_ROUNDS, 0.3, 2)
    assert found.coverage >= 0.90
    assert found.bad_coverage >= 0.90
    assert found.saved > 0.05
    assert found.bad_saved < 0.01


@pytest.fixture(scope="module")
def exploring(world):
    return exploring_policy(world, np.random.default_rng(3))


def test_the_log_of_a_router_that_explores_by_evidence_is_trusted_for_what_it_tried(world, exploring):
    probabilities = exploring.policy.probabilities
    assert 0.1 < (probabilities.max(axis=1) == 1.0).mean() < 0.9  # on many requests nobody else is tried
    known = replace(world, targets=exploring.targets)
    for cell in policy_cells(known, exploring.policy, 100, N_ROUNDS, 5).values():
        assert cell.answers.count("trust") > 90
        for estimator in ("ips", "dr"):
            assert 0.89 <= cell.estimators[estimator].coverage["normal"] <= 0.99


def test_it_is_not_trusted_for_what_it_did_not_try(world, exploring):
    for cell in policy_cells(world, exploring.policy, 25, N_ROUNDS, 6).values():
        assert cell.answers.count("trust") <= 1


WRONG = {
    "one model's, half": lambda p, chosen, _: np.where(chosen == 1, p / 2, p),
    "one model's, twice": lambda p, chosen, _: np.where(chosen == 1, np.minimum(2 * p, 1.0), p),
    "all, four fifths": lambda p, *_: 0.8 * p,
    "all, five quarters": lambda p, *_: np.minimum(1.25 * p, 1.0),
    "permuted": lambda p, _, rng: rng.permutation(p),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("by", ["softmax", "evidence"])
def test_wrong_propensities_are_not_trusted(world, exploring, wrong, by):
    policy = exploring.policy if by == "evidence" else logging_policy(world.outcomes, LOGGING_POLICIES[by])
    target = exploring.targets["whom it tries, too"] if by == "evidence" else world.targets["by task, soft"]
    rng = np.random.default_rng(11)
    prior, answers = world.prior(policy, 1_500, rng), []
    for _ in range(8):
        log = world.draw(policy, 1_500, prior, rng)
        rounds = log.rounds
        rounds = replace(rounds, propensity=WRONG[wrong](rounds.propensity, rounds.chosen, rng))
        wanted = target[log.query]
        found = diagnose(rounds, TargetRounds.of(rounds, wanted), wanted, world.outcomes.models)
        answers.append(judge_log(found, 3.0).answer)
    assert "trust" not in answers


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["routerbench3", "mmlu"])
def test_intervals_cover_on_real_outcomes(name):
    outcomes = load_set(SETS[name], Path(os.environ.get("BEAST_DATA_DIR", "/nowhere")))
    if outcomes is None:
        pytest.skip(f"{name} is not in BEAST_DATA_DIR")
    real = LogWorld.of(outcomes, HashingEncoder())
    found = policy_cells(real, logging_policy(real.outcomes, LOGGING_POLICIES["uniform"]), 200, 1500, 0)
    for cell in found.values():
        for estimator in ("ips", "dr"):
            assert 0.91 <= cell.estimators[estimator].coverage["normal"] <= 0.985
