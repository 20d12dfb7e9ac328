import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.families.distil import distil
from beast_ml.predictors.families.selection import FAMILIES, FamiliesConfig, select_family
from beast_ml.predictors.families.stack import fit_stack, routing_errors
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.network import NetworkConfig

N, M = 500, 3
SMALL = NetworkConfig(hidden=(16,), dropout=0.0, epochs=20, learning_rate=1e-2)
STUDENT = NetworkConfig(hidden=(32,), dropout=0.0, epochs=10, learning_rate=1e-2, task_weight=0.0)


def make_problem(signal=2.0, loss="probability"):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N, 5)).astype(np.float32)
    truth = sigmoid(signal * rows[:, :M])
    targets = (rng.random((N, M)) < truth).astype(float) if loss == "probability" else signal * rows[:, :M] + 0.0
    return Problem(rows, targets, rng.integers(0, 4, N), loss, np.zeros(N, np.intp)), truth


def member(name, out_of_fold):
    return FamilyFit(name, out_of_fold, lambda rows: np.zeros((len(rows), M)))


def config(*members, **changes):
    return FamiliesConfig(members, SMALL, student=STUDENT, **changes)


def weights(stack):
    return [stack.settings[f"weight of {name}"] for name in ("a", "b", "c")]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["probability", "squared"]))
def test_stack_weights_are_shares_and_the_stack_is_not_worse_than_its_members(seed, loss):
    problem, truth = make_problem(loss=loss)
    rng = np.random.default_rng(seed)
    members = tuple(member(name, truth + rng.normal(0, rng.uniform(0.05, 0.5), truth.shape)) for name in "abc")
    stack = fit_stack(problem, members)
    assert np.isclose(sum(weights(stack)), 1)
    assert min(weights(stack)) >= 0
    best = min(routing_errors(problem, each.out_of_fold).mean() for each in members)
    assert routing_errors(problem, stack.out_of_fold).mean() <= best * 1.01


def test_the_member_that_knows_gets_the_weight():
    problem, truth = make_problem()
    rng = np.random.default_rng(1)
    members = (member("a", rng.random(truth.shape)), member("b", truth), member("c", rng.random(truth.shape)))
    assert weights(fit_stack(problem, members))[1] > 0.9


def test_errors_that_all_candidates_share_move_no_decision():
    problem, truth = make_problem()
    shifted = truth + np.linspace(-0.4, 0.4, N)[:, None]
    np.testing.assert_allclose(routing_errors(problem, shifted), routing_errors(problem, truth))
    amounts = dataclasses.replace(problem, loss="squared")
    assert routing_errors(amounts, shifted).mean() > routing_errors(amounts, truth).mean()


def test_a_row_of_one_observation_counts_as_it_is_and_a_row_of_none_not_at_all():
    problem, truth = make_problem()
    targets = problem.targets.copy()
    targets[0, 1:], targets[1] = np.nan, np.nan
    errors = routing_errors(dataclasses.replace(problem, targets=targets), truth)
    assert len(errors) == N - 1
    assert np.isclose(errors[0], (truth[0, 0] - targets[0, 0]) ** 2)


def test_the_best_is_chosen_and_the_losers_are_told():
    problem, truth = make_problem()
    selection = select_family(problem, np.random.default_rng(0), config("ridge", "neighbours", "kernel"))
    assert {score.name for score in selection.scores} == {"prior", "ridge", "neighbours", "kernel", "stack"}
    assert [score.routing_error for score in selection.scores] == sorted(s.routing_error for s in selection.scores)
    assert [score.name for score in selection.scores if score.chosen] == [selection.winner.name]
    served = sigmoid(selection.head.forward(problem.rows))
    assert ((served - truth) ** 2).mean() < 0.3 * truth.var(axis=0).mean()


def test_without_a_signal_the_prior_is_kept_and_served():
    problem, _ = make_problem(signal=0.0)
    selection = select_family(problem, np.random.default_rng(0), config("ridge", "neighbours"))
    assert selection.winner.name == "prior"
    served = sigmoid(selection.head.forward(problem.rows))
    assert np.abs(served - problem.targets.mean(axis=0)).max() < 0.06


def test_a_lone_network_is_served_as_it_is():
    problem, _ = make_problem(signal=3.0)
    two_tasks = dataclasses.replace(problem, tasks=(problem.rows[:, 0] > 0).astype(np.intp), n_tasks=2)
    selection = select_family(two_tasks, np.random.default_rng(0), config("network"))
    assert selection.winner.name == "network"
    assert selection.report == {}
    np.testing.assert_allclose(
        sigmoid(selection.head.forward(problem.rows)), selection.winner.predict(problem.rows), rtol=1e-5
    )


@pytest.mark.parametrize("loss", ["probability", "squared"])
def test_a_student_follows_its_teacher_to_new_rows(loss):
    problem, _ = make_problem(loss=loss)

    def teach(rows):
        return sigmoid(2 * rows[:, :M]) if loss == "probability" else 2.0 * rows[:, :M]

    student = distil(problem, FamilyFit("t", teach(problem.rows), teach), np.random.default_rng(0), STUDENT)
    fresh = np.random.default_rng(7).normal(size=(200, 5)).astype(np.float32)
    said = student.head.forward(fresh)
    said = sigmoid(said) if loss == "probability" else said
    taught = teach(fresh)
    assert ((said - taught) ** 2).mean() < 0.05 * taught.var()
    assert student.r2 > 0.9
    assert student.rmse < 0.3 * taught.std()


def test_what_a_student_follows_of_a_constant_teacher_is_no_huge_number():
    problem, _ = make_problem(loss="squared")
    flat = FamilyFit("flat", np.full((N, M), 0.1), lambda rows: np.full((len(rows), M), 0.1))
    student = distil(problem, flat, np.random.default_rng(0), STUDENT)
    assert student.r2 == 1.0
    assert student.rmse < 0.01


def test_networks_that_do_not_guess_the_task_make_no_task_means():
    problem, _ = make_problem()
    tasks = np.arange(N) % 2
    problem = dataclasses.replace(problem, tasks=tasks, n_tasks=2)
    blind = dataclasses.replace(SMALL, epochs=2, task_weight=0.0)
    chosen = select_family(problem, np.random.default_rng(0), FamiliesConfig(("task_means",), blind, student=STUDENT))
    assert [score.name for score in chosen.scores] == ["prior"]


def test_an_unknown_family_is_refused():
    with pytest.raises(InputError, match="no family 'magic' of predictors, must be among prior"):
        config("magic")
    assert config(*FAMILIES).members == FAMILIES
