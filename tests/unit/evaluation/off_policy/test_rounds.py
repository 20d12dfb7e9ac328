import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, normal_interval


def logged(n, rng, predicted=0.5, repeats=1):
    """Two models, epsilon-greedy towards the first; the second is right more often."""
    question = np.repeat(np.arange(n), repeats)
    truth = (rng.random((n, 2)) < [0.4, 0.6]).astype(float)[question]
    chosen = (rng.random(n * repeats) < 0.25).astype(int)
    propensity = np.where(chosen == 1, 0.25, 0.75)
    reward = truth[np.arange(n * repeats), chosen]
    rounds = LoggedRounds(chosen, propensity, reward, np.full((n * repeats, 2), predicted), question)
    return rounds, truth


def test_a_policy_that_agrees_with_a_deterministic_log_gets_what_the_log_got():
    rng = np.random.default_rng(0)
    rewards = rng.random(50)
    rounds = LoggedRounds(np.zeros(50, int), np.ones(50), rewards, rng.random((50, 2)), np.arange(50))
    always = np.zeros(50, int)
    assert rounds.value(always) == pytest.approx(rewards.mean())
    assert rounds.gain(always) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert rounds.logged_value() == pytest.approx(rewards.mean())
    assert rounds.effective_sample_size(always) == pytest.approx(50)


def test_good_predictions_leave_nothing_to_correct():
    rounds, truth = logged(100, np.random.default_rng(1))
    oracle = LoggedRounds(rounds.chosen, rounds.propensity, rounds.reward, truth, rounds.question)
    second = np.ones(100, int)
    assert oracle.value(second) == pytest.approx(truth[:, 1].mean())


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3))
def test_the_estimate_is_unbiased_whatever_is_predicted(predicted):
    values = []
    for seed in range(60):
        rounds, truth = logged(200, np.random.default_rng(seed), predicted)
        second = np.ones(200, int)
        values.append(rounds.value(second) - truth[:, 1].mean())
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4.5 * error


@pytest.mark.parametrize("repeats", [1, 8])
def test_intervals_cover_the_value_in_the_population_however_often_a_question_is_asked(repeats):
    covered = 0
    for seed in range(300):
        rounds, _ = logged(150, np.random.default_rng(seed), repeats=repeats)
        gain, error = rounds.gain(np.ones(150 * repeats, int))
        _, low, high = normal_interval(gain, error)
        covered += low <= 0.6 - (0.75 * 0.4 + 0.25 * 0.6) <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_rounds_without_a_reward_are_left_out():
    rounds, _ = logged(100, np.random.default_rng(2))
    reward = rounds.reward.copy()
    reward[50:] = np.nan
    half = LoggedRounds(rounds.chosen, rounds.propensity, reward, rounds.predicted, rounds.question)
    parts = (rounds.chosen, rounds.propensity, rounds.reward, rounds.predicted, rounds.question)
    first = LoggedRounds(*(part[:50] for part in parts))
    decisions = np.ones(100, int)
    assert half.value(decisions) == first.value(decisions[:50])
    assert half.gain(decisions) == first.gain(decisions[:50])


def test_a_policy_the_log_never_tried_has_no_effective_sample():
    rounds = LoggedRounds(np.zeros(9, int), np.ones(9), np.ones(9), np.zeros((9, 2)), np.arange(9))
    assert rounds.effective_sample_size(np.ones(9, int)) == 0.0


def test_a_question_counts_once_however_often_it_was_asked():
    question = np.array([0] * 98 + [1, 2])
    reward = np.where(question == 0, 0.0, 1.0)
    rounds = LoggedRounds(np.zeros(100, int), np.ones(100), reward, np.zeros((100, 2)), question)
    always = np.zeros(100, int)
    assert rounds.value(always) == pytest.approx(2 / 3)
    assert rounds.effective_sample_size(always) == pytest.approx(3.0)


def test_one_question_has_no_standard_error():
    rounds = LoggedRounds(np.zeros(9, int), np.ones(9), np.arange(9.0), np.zeros((9, 2)), np.zeros(9, int))
    assert rounds.gain(np.ones(9, int))[1] == float("inf")


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.nan])
def test_impossible_propensities_are_refused(bad):
    with pytest.raises(InputError, match=r"must be in \(0, 1\]"):
        LoggedRounds(np.zeros(2, int), np.array([0.5, bad]), np.ones(2), np.zeros((2, 2)), np.arange(2))
