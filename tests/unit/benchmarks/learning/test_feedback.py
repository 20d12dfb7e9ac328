import numpy as np
import pytest

from beast_ml.benchmarks.learning.feedback import full_worlds, logged_shares
from beast_ml.benchmarks.learning.served_logs import FIRST, WAYS, serve
from beast_ml.benchmarks.partial_feedback import prepare_log_set
from beast_ml.features.hashing import HashingEncoder
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def worlds():
    outcomes = make_world(np.random.default_rng(0), 600).outcomes
    return full_worlds([prepare_log_set(outcomes, HashingEncoder(), seed) for seed in range(2)])


def test_more_feedback_reaches_more_of_the_gain(worlds):
    (much,), (little,) = (logged_shares(worlds, "uniform", [1.0], feedback, 0) for feedback in (1.0, 0.05))
    assert much.n_labelled > 15 * little.n_labelled
    assert much.full_gain == little.full_gain > 0
    assert little.kept < much.kept <= 1.1
    assert much.kept > 0.5


def test_a_short_log_asks_few_questions(worlds):
    short, long = logged_shares(worlds, "epsilon", [0.2, 1.0], 1.0, 0)
    assert short.n_labelled == pytest.approx(0.2 * long.n_labelled, rel=0.02)
    assert short.kept_low <= short.kept <= short.kept_high


def test_a_served_log_explores_at_much_less_than_uniform_choices_cost(worlds):
    world = worlds[0]
    logs = {
        way: serve(world.log_set, way, world.cost_usd, world.willingness, 0.5, np.random.default_rng(1)) for way in WAYS
    }
    # Bounds hold for what is expected; what it truly costs scatters on so few requests.
    assert max(logs["evidence"].given_up, logs["epsilon"].given_up) < logs["uniform"].given_up / 2
    first = round(FIRST * len(logs["epsilon"].asked))
    m = world.cost_usd.shape[1]
    for log in logs.values():
        assert sorted(log.asked) == np.flatnonzero(~world.log_set.test).tolist()
        assert (log.propensity[:first] == 1 / m).all()
        assert log.told.mean() == pytest.approx(0.5, abs=0.1)
        assert np.isfinite(log.outcomes(world.log_set.outcomes.quality, len(log.told))).sum() == log.told.sum()
        # Inverse propensities count every model once a request, where each is tried.
        if log is not logs["evidence"]:
            assert (1 / log.propensity).mean() == pytest.approx(m, rel=0.35)
    assert logs["evidence"].propensity.min() >= 0.01
