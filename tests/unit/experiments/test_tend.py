import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.experiments.best_arm import best_probabilities, moved_shares, top_two
from beast_ml.experiments.definitions import Guardrail
from beast_ml.experiments.guardrails import without
from beast_ml.experiments.tend import is_tended, tend
from beast_ml.testing.experiment_logs import experiment_of, experiment_store
from beast_ml.testing.experiments import NOW, observations

ERRORS = Guardrail(metric="errors", most_harm=0.05)


def shares(experiment):
    return {each.name: each.share for each in experiment.variants}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    quality = {"control": 0.5, "bad": 0.5, "good": 0.6}
    errors = {"control": 0.02, "bad": 0.25, "good": 0.02}
    return experiment_store(tmp_path_factory.mktemp("log"), experiment_of("bad", "good"), 3_000, quality, errors)


def test_a_variant_that_breaks_a_guardrail_is_stopped_and_the_others_go_on(store):
    tended = tend(experiment_of("bad", "good", guardrails=(ERRORS,)), store, NOW, np.random.default_rng(0))
    assert [each.variant for each in tended.breaches] == ["bad"]
    assert tended.breaches[0].at_least > 0.05
    assert "is worse than the control in errors by at least" in tended.breaches[0].sentence
    assert tended.experiment.status == "running"
    assert shares(tended.experiment) == pytest.approx({"control": 1 / 3, "bad": 0.0, "good": 1 / 3})
    (stopped,) = tended.experiment.stops
    assert (stopped.variant, stopped.at, stopped.metric) == ("bad", NOW, "errors")
    assert stopped.why in tended.breaches[0].sentence
    again = tend(tended.experiment, store, NOW, np.random.default_rng(0))
    assert not again.changed


def test_without_a_variant_that_is_left_the_experiment_stops():
    assert without(experiment_of("bad"), ["bad"]).status == "stopped"
    assert without(experiment_of("bad", "good"), ["bad", "good"]).status == "stopped"


def test_harm_within_the_limit_is_let_be(store):
    allowed = Guardrail(metric="errors", most_harm=0.5)
    tended = tend(experiment_of("bad", "good", guardrails=(allowed,)), store, NOW, np.random.default_rng(0))
    assert not tended.changed


def test_what_was_not_observed_yet_is_no_harm(store):
    rating = Guardrail(metric="feedback", most_harm=0.0)
    tended = tend(experiment_of("bad", "good", guardrails=(rating,)), store, NOW, np.random.default_rng(0))
    assert not tended.changed
    assert tended.waiting[0].startswith("feedback: ")


def test_shares_move_to_the_best_and_every_variant_keeps_some(store):
    trial = experiment_of("bad", "good", allocation="best-arm")
    tended = tend(trial, store, NOW, np.random.default_rng(0))
    assert tended.changed
    moved = shares(tended.experiment)
    assert sum(moved.values()) == pytest.approx(1.0)
    assert moved["good"] > 0.4
    assert min(moved.values()) >= 0.2 / 3 - 1e-9


def test_a_stopped_variant_gets_no_share_again(store):
    trial = experiment_of("bad", "good", allocation="best-arm", guardrails=(ERRORS,))
    moved = shares(tend(trial, store, NOW, np.random.default_rng(0)).experiment)
    assert moved["bad"] == 0.0
    assert moved["control"] + moved["good"] == pytest.approx(2 / 3)


def test_nothing_moves_before_there_are_some_dozens_of_units():
    trial = experiment_of(allocation="best-arm")
    few = observations(n=40, effects={"new": 9.0})
    assert moved_shares(trial, few, np.random.default_rng(0)) == {"control": 0.5, "new": 0.5}
    with pytest.raises(InputError, match="fixed shares"):
        moved_shares(experiment_of(), few, np.random.default_rng(0))


def test_less_can_be_better():
    trial = experiment_of(allocation="best-arm")
    data = observations(effects={"new": 0.2})
    more = moved_shares(trial, data, np.random.default_rng(0))
    less = moved_shares(trial, data, np.random.default_rng(0), lower_is_better=True)
    assert less["new"] == pytest.approx(more["control"], abs=0.02)


def test_top_two_gives_the_shares_of_its_own_draws():
    rng = np.random.default_rng(1)
    mean, error = np.array([0.0, 0.5, 0.8]), np.array([1.0, 1.0, 1.0])
    best = best_probabilities(mean, error, rng)
    counts = np.zeros(3)
    for _ in range(4_000):
        arm = int(rng.normal(mean, error).argmax())
        if rng.random() < 0.5:
            leader = arm
            while arm == leader:
                arm = int(rng.normal(mean, error).argmax())
        counts[arm] += 1
    np.testing.assert_allclose(top_two(best), counts / 4_000, atol=0.03)


def test_only_what_needs_it_is_looked_after():
    assert not is_tended(experiment_of())
    assert is_tended(experiment_of(guardrails=(ERRORS,)))
    assert not is_tended(experiment_of(guardrails=(ERRORS,), status="stopped"))
