"""Learning from logs where the truth is known: estimates that cover, a gate that does not let through, no harm."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beast_ml.benchmarks.partial_feedback import no_harm_cell, prepare_log_set
from beast_ml.benchmarks.sets import BFCL_POOL
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, normal_interval
from beast_ml.features.distill import static_encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.log_decision import decide_from_log
from beast_ml.policy.utility import Predictions
from beast_ml.predictors.logging_policy import estimate_logging_policy


def rounds(rng, n, shares, skill, predicted, know_logging=True):
    chosen = rng.choice(len(shares), size=n, p=shares)
    reward = (rng.random(n) < np.array(skill)[chosen]).astype(float)
    logging = np.tile(shares, (n, 1)) if know_logging else None
    return LoggedRounds(chosen, np.array(shares)[chosen], reward, np.tile(predicted, (n, 1)), np.arange(n), logging)


def test_implied_errors_cover_where_those_of_the_rounds_at_hand_do_not():
    """A model that 1 request in 400 tries: half of the logs show it never, and the predictor takes it for better."""
    covered = {True: 0, False: 0}
    for seed in range(400):
        for know_logging in covered:
            log = rounds(np.random.default_rng(seed), 300, [0.9975, 0.0025], [0.9, 0.6], [0.9, 0.95], know_logging)
            _, low, high = normal_interval(*log.gain(np.ones(300, dtype=int)))
            covered[know_logging] += low <= 0.6 - (0.9975 * 0.9 + 0.0025 * 0.6) <= high
    assert covered[False] / 400 < 0.6
    assert covered[True] / 400 > 0.94


@pytest.mark.parametrize("shares", [[0.25] * 4, [0.7, 0.1, 0.1, 0.1]])
def test_implied_errors_do_not_widen_what_is_well_explored(shares):
    covered, wider = 0, []
    for seed in range(300):
        log = rounds(np.random.default_rng(seed), 800, shares, [0.8, 0.6, 0.7, 0.5], [0.6] * 4)
        target = np.full(800, 1)
        gain, error = log.gain(target)
        plain = rounds(np.random.default_rng(seed), 800, shares, [0.8, 0.6, 0.7, 0.5], [0.6] * 4, False).gain(target)[1]
        wider.append(error / plain)
        _, low, high = normal_interval(gain, error)
        covered += low <= 0.6 - np.dot(shares, [0.8, 0.6, 0.7, 0.5]) <= high
    assert 0.92 <= covered / 300 <= 0.985
    assert np.mean(wider) < 1.1


def test_estimates_with_estimated_propensities_are_those_with_known_ones_on_average():
    """The log's policy goes by the request, and so does quality: ignoring that would be off by far."""
    errors, naive = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        columns = rng.standard_normal((1500, 2))
        hard = 1 / (1 + np.exp(-1.5 * columns[:, 0]))
        truth = np.stack([0.9 - 0.5 * hard, 0.8 - 0.1 * hard], axis=1)
        chosen = (rng.random(1500) < hard).astype(int)
        reward = (rng.random(1500) < truth[np.arange(1500), chosen]).astype(float)
        estimated = estimate_logging_policy(columns, chosen, 2, np.arange(1500) % 5, rng)
        flat = np.full((1500, 2), 0.7)
        log = LoggedRounds(chosen, estimated.propensity(chosen), reward, flat, np.arange(1500))
        errors.append(log.value(np.zeros(1500, dtype=int)) - truth[:, 0].mean())
        naive.append(reward[chosen == 0].mean() - truth[:, 0].mean())
    assert abs(np.mean(errors)) < 0.015
    assert np.mean(naive) > 0.05


@pytest.mark.parametrize("shares", [[0.25] * 4, [0.85, 0.05, 0.05, 0.05]])
def test_where_nothing_is_better_the_gate_rarely_opens(shares):
    """Four models of equal quality and cost, and predictions that are noise: whatever is taken is no better."""
    opened = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        log = rounds(rng, 900, shares, [0.7] * 4, [0.7] * 4)
        noise = 0.7 + 0.05 * rng.standard_normal((900, 4))
        predictions = Predictions(("a", "b", "c", "d"), noise, np.zeros((900, 4)))
        opened += decide_from_log(predictions, log, None, np.arange(900) % 5).promoted
    assert opened <= 8  # 0.025 of 120 is 3; more than 8 has a chance of 1 in 250


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(("name", "policy"), [("routerbench3", "epsilon-0.05"), ("bfcl_2024_08", "softmax")])
def test_learning_from_a_log_does_no_harm(name, policy):
    path = Path(os.environ.get("BEAST_DATA_DIR", "")) / name / "outcomes.parquet"
    if not path.is_file():
        pytest.skip(f"{name} is not in BEAST_DATA_DIR")
    frame = pd.read_parquet(path)
    if name.startswith("bfcl"):
        frame = frame[frame["model"].isin(BFCL_POOL)]
    cell = no_harm_cell(prepare_log_set(OutcomeMatrix.from_frame(frame), static_encoder()), policy, 20, 0)
    assert cell.loss_high <= 0.005
    assert cell.n_below <= cell.n_below_allowed
    if policy == "epsilon-0.05":
        assert cell.loss_without_gate > 0.01
