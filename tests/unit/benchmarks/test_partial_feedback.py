import numpy as np
import pytest

from beast_ml.benchmarks.partial_feedback import no_harm_cell, prepare_log_set, uniform_share
from beast_ml.errors import InputError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(0), 1000).outcomes


@pytest.fixture(scope="module")
def log_set(outcomes):
    return prepare_log_set(outcomes, HashingEncoder())


def test_a_uniform_log_is_left_for_something_better(log_set):
    heard = []
    cell = no_harm_cell(log_set, "uniform", 2, 0, lambda *step: heard.append(step))
    assert cell.promoted["stay"] == 0
    assert cell.loss_high < -0.02
    assert cell.n_below == 0
    assert cell.n_train + cell.n_test == 1000
    assert heard == [("uniform", 1, 2), ("uniform", 2, 2)]
    assert cell.to_dict()["promoted"] == cell.promoted


def test_the_same_seed_draws_the_same_logs(log_set):
    first, second, other = (no_harm_cell(log_set, "epsilon-0.2", 2, seed) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_staying_loses_exactly_nothing(log_set):
    cell = no_harm_cell(log_set, "epsilon-0.05", 2, 0)
    assert cell.promoted["stay"] == 0 or cell.worst_loss <= 0.0


@pytest.mark.parametrize(("policy", "n_logs", "message"), [("greedy", 2, "epsilon-0.05"), ("uniform", 1, ">= 2")])
def test_what_cannot_be_run_is_refused(log_set, policy, n_logs, message):
    with pytest.raises(InputError, match=message):
        no_harm_cell(log_set, policy, n_logs, 0)


def test_a_uniform_log_keeps_a_part_of_what_full_information_gives(outcomes):
    share = uniform_share(outcomes, HashingEncoder(), 2, 0)
    assert 0.3 < share.kept < 1.1
    assert share.kept_low < share.kept < share.kept_high
    assert share.full > share.logged
    assert share.to_dict()["n_logs"] == 2
