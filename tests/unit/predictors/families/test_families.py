"""What every family promises, whatever it is."""

import dataclasses

import numpy as np
import pytest

from beast_ml.predictors.families.contract import KindPosterior, Problem
from beast_ml.predictors.families.kernel import fit_kernel
from beast_ml.predictors.families.linear import fit_low_rank, fit_ridge
from beast_ml.predictors.families.neighbours import fit_neighbours
from beast_ml.predictors.families.networks import fit_networks
from beast_ml.predictors.families.prior import fit_kind_means, fit_prior, fit_task_means
from beast_ml.predictors.families.trees import fit_trees
from beast_ml.predictors.network import NetworkConfig

N, M = 600, 3
SMALL = NetworkConfig(hidden=(16,), dropout=0.0, epochs=30, learning_rate=1e-2)


def make_problem(loss="probability", hidden=0.0, seed=0):
    """Outcomes that depend on the rows, with two tasks that differ in the mean."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(N, 6)).astype(np.float32)
    tasks = (rows[:, 0] > 0).astype(np.intp)
    score = rows[:, :M] + np.sin(2 * rows[:, 3:4]) + tasks[:, None]
    truth = 1 / (1 + np.exp(-2 * score)) if loss == "probability" else score
    targets = (
        (rng.random((N, M)) < truth).astype(float) if loss == "probability" else truth + rng.normal(0, 0.3, (N, M))
    )
    targets[rng.random((N, M)) < hidden] = np.nan
    return Problem(rows, targets, rng.integers(0, 4, N), loss, tasks, 2), truth


def fit_posterior_means(problem, rng):
    network = fit_networks(problem, rng, SMALL, 1)
    return fit_task_means(problem, network.posterior, network.predict_posterior)


def kinds_of(problem):
    """A classifier of kinds that is right, on rows of which some have no label."""
    labels = np.where(np.arange(N) % 5 == 0, -1, problem.tasks)
    return KindPosterior(labels, np.eye(2)[problem.tasks], lambda rows: np.eye(2)[(rows[:, 0] > 0).astype(int)])


FAMILIES = {
    "prior": lambda problem, rng: fit_prior(problem),
    "task_means": fit_posterior_means,
    "kind_means": lambda problem, _: fit_kind_means(problem, kinds_of(problem)),
    "neighbours": lambda problem, rng: fit_neighbours(problem),
    "ridge": lambda problem, rng: fit_ridge(problem),
    "low_rank": lambda problem, rng: fit_low_rank(problem),
    "kernel": lambda problem, rng: fit_kernel(problem, fit_prior(problem), rng),
    "trees": lambda problem, rng: fit_trees(problem, 0),
    "network": lambda problem, rng: fit_networks(problem, rng, SMALL, 2).fit,
}
everyone = pytest.mark.parametrize("name", FAMILIES)


def fit(name, problem):
    return FAMILIES[name](problem, np.random.default_rng(0))


@everyone
@pytest.mark.parametrize("loss", ["probability", "squared"])
def test_it_predicts_every_cell_on_the_scale_of_the_targets(name, loss):
    problem, truth = make_problem(loss, hidden=0.3)
    fitted = fit(name, problem)
    assert fitted.name == name
    for predicted in (fitted.out_of_fold, fitted.predict(problem.rows)):
        assert predicted.shape == (N, M)
        assert np.isfinite(predicted).all()
        if loss == "probability":
            assert ((predicted >= 0) & (predicted <= 1)).all()
    means = np.broadcast_to(np.nanmean(problem.targets, axis=0), truth.shape)
    assert ((fitted.out_of_fold - truth) ** 2).mean() < 1.05 * ((means - truth) ** 2).mean()


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "prior"])
@pytest.mark.parametrize("loss", ["probability", "squared"])
def test_it_learns_what_rows_tell(name, loss):
    problem, truth = make_problem(loss)
    fitted = fit(name, problem)
    means = np.broadcast_to(problem.targets.mean(axis=0), truth.shape)
    assert ((fitted.out_of_fold - truth) ** 2).mean() < 0.8 * ((means - truth) ** 2).mean()
    fresh, fresh_truth = make_problem(loss, seed=1)
    assert ((fitted.predict(fresh.rows) - fresh_truth) ** 2).mean() < 0.8 * ((means - fresh_truth) ** 2).mean()


@everyone
def test_out_of_fold_predictions_do_not_know_their_fold(name):
    problem, _ = make_problem("squared")
    held = problem.folds == 0
    few = held & (np.arange(N) < 40)  # enough to be seen, too few to change what is chosen within the family
    poisoned = dataclasses.replace(problem, targets=np.where(few[:, None], 50 + problem.targets, problem.targets))
    before, after = fit(name, problem), fit(name, poisoned)
    if before.settings == after.settings:
        np.testing.assert_allclose(before.out_of_fold[held], after.out_of_fold[held], atol=1e-6)
    assert not np.allclose(before.out_of_fold[~held], after.out_of_fold[~held], atol=0.1)


@everyone
def test_random_labels_cannot_be_predicted_out_of_fold(name):
    problem, _ = make_problem()
    labels = (np.random.default_rng(5).random((N, M)) < 0.5).astype(float)
    fitted = fit(name, dataclasses.replace(problem, targets=labels))
    assert ((fitted.out_of_fold - labels) ** 2).mean() > 0.245


def test_trees_keep_the_mean_of_a_candidate_with_too_little_data():
    problem, _ = make_problem("squared")
    targets = problem.targets.copy()
    targets[10:, 0] = np.nan
    fitted = fit_trees(dataclasses.replace(problem, targets=targets), 0)
    np.testing.assert_allclose(fitted.predict(problem.rows)[:, 0], np.nanmean(targets[:, 0]))


def test_a_low_rank_is_found_where_candidates_share_one_ability():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N, 8)).astype(np.float32)
    ability = rows[:, :1] @ np.linspace(0.5, 1.5, 10)[None]
    noisy = ability + rng.normal(0, 1.0, ability.shape)
    problem = Problem(rows, noisy, rng.integers(0, 4, N), "squared", np.zeros(N, np.intp))
    fitted = fit_low_rank(problem)
    assert fitted.settings["rank"] <= 2
    assert ((fitted.out_of_fold - ability) ** 2).mean() <= ((fit_ridge(problem).out_of_fold - ability) ** 2).mean()
