import numpy as np
import pytest

from beast_ml.evaluation.off_policy.estimators import ESTIMATORS, TargetRounds, estimate_rounds
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, effective_sample_size

SHARES, SKILL = np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.7, 0.9])
TARGET = np.array([0.2, 0.3, 0.5])


def drawn(seed, n=400, predicted=SKILL, labelled=1.0):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(3, size=n, p=SHARES)
    reward = (rng.random(n) < SKILL[chosen]).astype(float)
    reward[rng.random(n) >= labelled] = np.nan
    return LoggedRounds(chosen, SHARES[chosen], reward, np.tile(predicted, (n, 1)), np.arange(n))


def values(seed, **options):
    log = drawn(seed, **options)
    target = np.tile(TARGET, (len(log.chosen), 1))
    return {name: each.value for name, each in estimate_rounds(TargetRounds.of(log, target), 1.0).items()}


@pytest.mark.parametrize("labelled", [1.0, 0.4])
@pytest.mark.parametrize("predicted", [SKILL, np.array([0.9, 0.1, 0.0])])
def test_ips_and_dr_are_unbiased_whatever_is_predicted(predicted, labelled):
    found = [values(seed, predicted=predicted, labelled=labelled) for seed in range(250)]
    for name in ("ips", "dr"):
        errors = np.array([one[name] for one in found]) - TARGET @ SKILL
        assert abs(errors.mean()) < 4 * errors.std() / len(errors) ** 0.5


def test_bad_predictions_mislead_the_direct_method_and_not_the_others():
    found = values(0, n=20_000, predicted=np.zeros(3))
    assert found["dm"] == 0.0
    for name in ("ips", "snips", "clipped_ips", "dr"):
        assert found[name] == pytest.approx(TARGET @ SKILL, abs=0.03)


def test_a_target_that_is_the_log_s_policy_has_the_log_s_mean():
    log = drawn(1)
    target = np.tile(SHARES, (400, 1))
    found = estimate_rounds(TargetRounds.of(log, target), 1.0)
    for name in ("ips", "snips", "clipped_ips"):
        assert found[name].value == pytest.approx(log.reward.mean())
        assert found[name].effective == pytest.approx(400)


def test_decisions_are_the_same_as_sure_probabilities():
    log = drawn(2)
    one = estimate_rounds(TargetRounds.of(log, np.full(400, 2)), 1.0)
    other = estimate_rounds(TargetRounds.of(log, np.tile([0.0, 0.0, 1.0], (400, 1))), 1.0)
    for name in ESTIMATORS:
        assert one[name].value == pytest.approx(other[name].value)


def test_snips_follows_a_shift_of_the_rewards_and_ips_does_not():
    log = drawn(3)
    shifted = LoggedRounds(log.chosen, log.propensity, log.reward + 5, log.predicted, log.question)
    target = np.full(400, 2)
    before, after = (estimate_rounds(TargetRounds.of(each, target), 6.0) for each in (log, shifted))
    assert after["snips"].value == pytest.approx(before["snips"].value + 5)
    assert after["ips"].value != pytest.approx(before["ips"].value + 5, abs=0.01)


def test_a_policy_that_was_never_tried_has_no_self_normalised_estimate():
    log = LoggedRounds(np.zeros(9, int), np.ones(9), np.ones(9), np.full((9, 2), 0.4), np.arange(9))
    found = estimate_rounds(TargetRounds.of(log, np.ones(9, int)), 1.0)
    assert np.isnan(found["snips"].value)
    assert found["dr"].value == pytest.approx(0.4)
    assert found["dr"].effective == 0.0


def test_switch_leaves_out_a_weight_that_would_decide_everything():
    weight = np.full(100, 1.0)
    weight[0] = 500.0
    rounds = TargetRounds(
        weight, np.r_[0.5, np.zeros(99)], np.full(100, 0.5), np.full(100, 0.5), np.arange(100), weight
    )
    found = estimate_rounds(rounds, 0.01)
    assert found["dr"].value == pytest.approx(3.0)
    assert found["switch_dr"].value == pytest.approx(0.5)


def test_equal_weights_are_worth_their_number():
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample_size(np.zeros(7)) == 0.0
