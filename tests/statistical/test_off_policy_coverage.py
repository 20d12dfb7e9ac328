"""Do off-policy intervals hold the truth, and does the verdict flag the logs on which they do not?"""

import os
from pathlib import Path

import numpy as np
import pytest

from beast_ml.benchmarks.learning.coverage import label_cell, policy_cells
from beast_ml.benchmarks.learning.simulated_logs import LogWorld
from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES
from beast_ml.benchmarks.sets import SETS, load_set
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
