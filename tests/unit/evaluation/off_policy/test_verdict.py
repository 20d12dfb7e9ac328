import numpy as np
import pytest

from beast_ml.evaluation.off_policy.diagnostics import check_propensities, diagnose
from beast_ml.evaluation.off_policy.estimators import TargetRounds
from beast_ml.evaluation.off_policy.rounds import LoggedRounds
from beast_ml.evaluation.off_policy.verdict import judge_log

MODELS = ("large", "medium", "small")


def log_of(shares, n=1500, seed=0, logged=None):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(3, size=n, p=shares)
    reward = (rng.random(n) < 0.6).astype(float)
    propensity = np.asarray(shares if logged is None else logged, dtype=float)[chosen]
    return LoggedRounds(chosen, propensity, reward, np.full((n, 3), 0.6), np.arange(n))


def judged(log, target, unusable=0.0):
    probabilities = np.tile(target, (len(log.chosen), 1)).astype(float)
    found = diagnose(log, TargetRounds.of(log, probabilities), probabilities, MODELS)
    return found, judge_log(found, 3.0, unusable)


def test_a_well_explored_log_is_trusted():
    found, verdict = judged(log_of([0.4, 0.3, 0.3]), [0.2, 0.2, 0.6])
    assert verdict.answer == "trust"
    assert verdict.reasons == ()
    assert verdict.exploration is None
    assert found.mean_weight_low < 1 < found.mean_weight_high


def test_a_rarely_tried_model_asks_for_more_exploration():
    _, verdict = judged(log_of([0.94, 0.03, 0.03]), [0.0, 0.0, 1.0])
    assert verdict.answer == "widen exploration"
    assert "effective questions" in verdict.sentence
    assert "epsilon = 0.40" in verdict.exploration
    assert "'small'" in verdict.exploration


def test_a_model_that_was_never_tried_cannot_be_judged():
    _, verdict = judged(log_of([0.5, 0.5, 0.0]), [0.3, 0.0, 0.7])
    assert verdict.answer == "cannot be answered by this log"
    assert "'small'" in verdict.sentence
    assert "never tried" in verdict.sentence


def test_too_short_a_log_says_how_long_it_would_have_to_be():
    _, verdict = judged(log_of([0.4, 0.3, 0.3], n=40), [0.0, 0.0, 1.0])
    assert verdict.answer == "cannot be answered by this log"
    assert "600 labelled requests" in verdict.exploration


def test_propensities_that_are_too_low_are_found_out():
    _, verdict = judged(log_of([0.4, 0.3, 0.3], logged=[0.4, 0.3, 0.15]), [0.2, 0.2, 0.6])
    assert verdict.answer == "cannot be answered by this log"
    assert "do not fit the choices" in verdict.sentence
    assert "'small'" in verdict.sentence


def test_propensities_that_are_too_high_are_not_trusted():
    _, verdict = judged(log_of([0.4, 0.3, 0.3], logged=[0.4, 0.3, 0.6]), [0.2, 0.2, 0.6])
    assert verdict.answer != "trust"


def test_many_unusable_requests_are_a_reason_of_their_own():
    _, verdict = judged(log_of([0.4, 0.3, 0.3]), [0.2, 0.2, 0.6], unusable=0.2)
    assert verdict.answer == "cannot be answered by this log"
    assert "20.0%" in verdict.sentence


def test_right_propensities_are_rarely_suspected():
    shares = np.array([0.7, 0.25, 0.05])
    p = np.array([check_propensities(log_of(shares, 600, seed), MODELS).p_value for seed in range(300)])
    assert (p < 0.05).mean() <= 0.09
    assert (p < 0.001).mean() <= 0.01


def test_models_that_are_hardly_chosen_are_not_tested():
    assert check_propensities(log_of([0.5, 0.499, 0.001]), MODELS).tested == 2


def test_one_round_with_most_of_the_weight_is_told():
    log = log_of([0.4, 0.3, 0.3])
    propensity = log.propensity.copy()
    propensity[np.flatnonzero(log.chosen == 2)[0]] = 0.002
    heavy = LoggedRounds(log.chosen, propensity, log.reward, log.predicted, log.question)
    _, verdict = judged(heavy, [0.2, 0.2, 0.6])
    assert verdict.answer != "trust"
    assert any("a single round" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("n_candidates", [3.0, 30.0])
def test_the_advice_grows_with_the_number_of_candidates(n_candidates):
    log = log_of([0.94, 0.03, 0.03])
    probabilities = np.tile([0.0, 0.0, 1.0], (1500, 1))
    found = diagnose(log, TargetRounds.of(log, probabilities), probabilities, MODELS)
    advice = judge_log(found, n_candidates).exploration
    assert ("epsilon" in advice) == (n_candidates == 3.0)


def test_a_spread_that_rests_on_few_rounds_is_told_though_the_effective_size_is_large():
    log = log_of([0.99, 0.005, 0.005])
    found, verdict = judged(log, [0.8, 0.1, 0.1])
    assert found.effective > 100
    assert verdict.answer == "widen exploration"
    assert "interval's width rests on" in verdict.sentence
