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


def partly_explored(n=1500, seed=0):
    """A log that tries the others on two thirds of the requests, and there on a fifth."""
    rng = np.random.default_rng(seed)
    explored = rng.random(n) < 2 / 3
    logging = np.where(explored[:, None], [0.8, 0.1, 0.1], [1.0, 0.0, 0.0])
    chosen = (logging.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)
    propensity = logging[np.arange(n), chosen]
    return explored, LoggedRounds(chosen, propensity, rng.random(n).round(), np.full((n, 3), 0.5), np.arange(n))


def judged_rows(log, target):
    found = diagnose(log, TargetRounds.of(log, target), target, MODELS)
    return found, judge_log(found, 3.0)


def test_a_log_that_left_out_some_requests_is_trusted_where_the_target_asks_for_nobody_else_there():
    answers = []
    for seed in range(30):
        explored, log = partly_explored(seed=seed)
        found, verdict = judged_rows(log, np.where(explored[:, None], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]))
        assert found.propensities.untried_p_value < 0.001
        answers.append(verdict.answer)
    assert answers.count("trust") >= 27


@pytest.mark.parametrize(("share", "answer"), [(0.15, "widen exploration"), (0.6, "cannot be answered by this log")])
def test_what_a_log_says_itself_that_it_left_out_is_held_against_it(share, answer):
    explored, log = partly_explored()
    found, verdict = judged_rows(log, np.where(explored[:, None], [0.5, 0.25, 0.25], [1 - share, share, 0.0]))
    assert found.unreached == pytest.approx(share * (~explored).mean(), abs=0.01)
    assert verdict.answer == answer
    assert "never tried" in verdict.sentence


def test_a_model_that_a_long_log_never_chose_is_left_out_and_one_of_a_short_log_may_be_chance():
    long, short = log_of([0.6, 0.4, 0.0]), log_of([0.6, 0.4, 0.0], n=20)
    assert judged(long, [0.5, 0.45, 0.05])[0].unreached == pytest.approx(0.05)
    assert judged(short, [0.5, 0.45, 0.05])[0].unreached == 0.0
