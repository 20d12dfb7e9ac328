import msgspec
import numpy as np
import pytest

from beast_ml.cache.verifier.online import OnlineState, OnlineThreshold
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import InputError

GRID = np.linspace(0.95, 0.35, 13).tolist()


def _wrong(rng, scores, level=0.12):
    return rng.random(len(scores)) < np.where(scores > 0.5, level * (1 - scores), 0.6)


def _true_rate(threshold, level=0.12):
    above = min(threshold, 1.0)
    return level / 2 * (1 - above) ** 2 if above >= 0.5 else level / 8 + 0.6 * (0.5 - above)


def _feed(online, rng, n, audit, wrong_of=_wrong):
    scores = rng.random(n)
    wrong = wrong_of(rng, scores)
    verified = rng.random(n) < audit
    values = []
    for score, is_wrong, seen in zip(scores.tolist(), wrong.tolist(), verified.tolist(), strict=True):
        online.observe(score, wrong=is_wrong if seen else None, probability=audit)
        values.append(online.value)
    return values


def test_nothing_hits_before_there_is_evidence():
    assert OnlineThreshold(RiskTarget(0.02), GRID, 0.2).value == float("inf")


def test_a_threshold_from_labelled_pairs_holds_until_there_is_evidence_for_a_looser_one():
    assert OnlineThreshold(RiskTarget(0.02), GRID, 0.2, start=0.8).value == 0.8


def test_verified_lookups_loosen_it_up_to_what_epsilon_allows():
    online = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5)
    _feed(online, np.random.default_rng(0), 6000, 0.5)
    assert 0.4 < online.value < 0.8
    assert online.n_alarms == 0


def test_lookups_that_were_not_verified_are_evidence_of_nothing_wrong_only_through_their_probability():
    # Half of them verified and all of those wrong: the rate is 1, whatever the others look like.
    online = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5)
    _feed(online, np.random.default_rng(0), 500, 0.5, lambda _rng, scores: np.ones(len(scores), bool))
    assert online.value == float("inf")


def test_a_change_for_the_worse_is_noticed_and_everything_forgotten():
    rng = np.random.default_rng(1)
    online = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5)
    _feed(online, rng, 5000, 0.5)
    assert online.value < 1.0
    values = _feed(online, rng, 3000, 0.5, lambda rng, scores: rng.random(len(scores)) < 0.4)
    assert online.n_alarms >= 1
    assert values[-1] == float("inf")
    assert next(i for i, value in enumerate(values) if value == float("inf")) < 400


def test_wrong_hits_between_the_start_and_the_next_stricter_threshold_raise_the_alarm():
    online = OnlineThreshold(RiskTarget(0.02), [0.9, 0.5], 1.0, start=0.7)
    for _ in range(200):
        online.observe(0.8, wrong=True)
    assert online.n_alarms >= 1
    assert online.value == float("inf")


def test_what_was_learnt_survives_a_restart():
    rng = np.random.default_rng(2)
    online = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5, start=0.9)
    _feed(online, rng, 1500, 0.5)
    kept = msgspec.json.encode(online.state())
    again = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5)
    again.restore(msgspec.json.decode(kept, type=OnlineState))
    assert again.value == online.value
    assert _feed(again, np.random.default_rng(3), 300, 0.5) == _feed(online, np.random.default_rng(3), 300, 0.5)


def test_a_state_of_another_grid_is_refused():
    with pytest.raises(InputError, match="another grid"):
        OnlineThreshold(RiskTarget(0.02), GRID, 0.5).restore(OnlineThreshold(RiskTarget(0.02), GRID[1:], 0.5).state())


def test_a_probability_below_the_least_one_is_refused():
    online = OnlineThreshold(RiskTarget(0.02), GRID, 0.2)
    with pytest.raises(InputError, match=r"`probability` == 0\.1"):
        online.observe(0.9, wrong=False, probability=0.1)


@pytest.mark.parametrize("grid", [[], [0.5, 0.6], [0.5, 0.5]])
def test_a_grid_that_does_not_fall_is_refused(grid):
    with pytest.raises(InputError, match="from the highest to the lowest"):
        OnlineThreshold(RiskTarget(0.02), grid, 0.2)


@pytest.mark.slow
def test_a_threshold_above_epsilon_is_ever_in_use_in_at_most_delta_of_streams():
    # Looked at after every lookup; grid points just above epsilon make it hard.
    rng, delta, n_streams = np.random.default_rng(4), 0.2, 150
    grid = [0.9, 0.7, 0.56, 0.5, 0.48, 0.46]  # the last two are above epsilon == 0.016
    broken = earned = 0
    for _ in range(n_streams):
        online = OnlineThreshold(RiskTarget(0.016, delta), grid, 0.5)
        values = _feed(online, rng, 1500, 0.5)
        broken += any(_true_rate(value) > 0.016 for value in values)
        earned += values[-1] < 1.0
    assert broken / n_streams <= delta + 3 * np.sqrt(delta * (1 - delta) / n_streams)
    assert earned > n_streams / 2


def test_lookups_told_of_together_are_the_same_evidence_as_one_by_one():
    single, together = (OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5) for _ in range(2))
    for _ in range(50):
        single.observe(-np.inf)
    single.observe(0.9, wrong=True, probability=0.5)
    together.observe(0.9, wrong=True, probability=0.5, unverified=50)
    assert together.n_lookups == single.n_lookups == 51
    assert together.state().sums[3] == pytest.approx(single.state().sums[3])  # what is known of the rate


def test_a_verdict_that_is_refused_leaves_nothing_of_the_lookups_before_it():
    online = OnlineThreshold(RiskTarget(0.02, 0.1), GRID, 0.5)
    with pytest.raises(InputError):
        online.observe(0.9, wrong=False, probability=0.1, unverified=50)
    assert online.n_lookups == 0


def test_a_verdict_that_is_lost_counts_as_wrong_where_it_would_loosen_the_threshold_and_raises_no_alarm():
    def fed(**verdict):
        online = OnlineThreshold(RiskTarget(0.05, 0.1), [0.9, 0.5], 1.0)
        for n in range(3000):
            online.observe(0.7, **({"wrong": False} if n % 10 else verdict))
        return online

    assert fed(wrong=False).value == 0.5
    lost, wrong = fed(lost=True), fed(wrong=True)
    assert lost.value == wrong.value == 0.9
    assert (lost.n_verified, lost.n_lookups, wrong.n_verified) == (2700, 3000, 3000)
    served = OnlineThreshold(RiskTarget(0.05, 0.1), [0.9, 0.5], 1.0, start=0.5)
    for _ in range(3000):
        served.observe(0.7, lost=True)
    assert (served.value, served.n_alarms) == (0.5, 0)


def test_the_threshold_moves_again_some_time_after_an_outage_of_the_judge():
    online = OnlineThreshold(RiskTarget(0.05, 0.1), [0.9, 0.5], 0.5)
    for _ in range(500):
        online.observe(0.95, lost=True, probability=0.5)
    assert online.value == float("inf")
    for _ in range(2000):
        online.observe(0.7, wrong=False, probability=0.5)
    assert online.value == 0.5


def test_a_verdict_cannot_be_there_and_lost():
    with pytest.raises(InputError, match="a verdict has come"):
        OnlineThreshold(RiskTarget(0.02), GRID, 0.2).observe(0.9, wrong=True, lost=True)


@pytest.mark.slow
def test_verdicts_that_stay_away_because_they_would_say_wrong_loosen_nothing_too_far():
    # Two thirds of the wrong ones get no verdict: by the others alone the loosest threshold would seem to be fine.
    rng, delta, n_streams = np.random.default_rng(9), 0.2, 50
    broken = 0
    for _ in range(n_streams):
        online = OnlineThreshold(RiskTarget(0.03, delta), [0.9, 0.5], 0.5)
        for wrong, hidden, seen in rng.random((1000, 3)).tolist():
            is_lost = seen < 0.5 and wrong < 0.045 and hidden < 2 / 3
            verdict = wrong < 0.045 if seen < 0.5 and not is_lost else None
            online.observe(0.6, wrong=verdict, lost=is_lost, probability=0.5)
            if online.value == 0.5:
                broken += 1
                break
    assert broken / n_streams <= delta + 3 * np.sqrt(delta * (1 - delta) / n_streams)
