import numpy as np
import pytest

from beast_ml.benchmarks.learning.feedback import full_teachers, logged_share
from beast_ml.benchmarks.partial_feedback import prepare_log_set
from beast_ml.features.hashing import HashingEncoder
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def splits():
    outcomes = make_world(np.random.default_rng(0), 600).outcomes
    return [prepare_log_set(outcomes, HashingEncoder(), seed) for seed in range(2)]


def test_more_feedback_reaches_more_of_the_gain(splits):
    full = full_teachers(splits)
    much, little = (logged_share(splits, full, "uniform", 1.0, feedback, 0) for feedback in (1.0, 0.05))
    assert much.n_labelled > 15 * little.n_labelled
    assert much.full_gain == little.full_gain > 0
    assert little.kept < much.kept <= 1.1
    assert much.kept > 0.5


def test_a_short_log_asks_few_questions(splits):
    found = logged_share(splits, full_teachers(splits), "softmax", 0.2, 1.0, 0)
    assert found.n_labelled == pytest.approx(0.2 * 0.7 * 600, rel=0.1)
    assert found.kept_low <= found.kept <= found.kept_high
