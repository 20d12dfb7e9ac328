"""What is known without looking at a prompt: each candidate's mean, or on each task or kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, KindPosterior, Problem
from beast_ml.predictors.kind_shrinkage import kind_task_means
from beast_ml.predictors.shrinkage import task_means

__all__ = ["fit_kind_means", "fit_prior", "fit_task_means"]


def fit_prior(problem: Problem) -> FamilyFit:
    """Fit each candidate's mean, shrunk to the mean of all as if by `Problem.prior_queries` more rows."""
    one_task = np.zeros(len(problem.rows), dtype=np.intp)
    out_of_fold = np.empty_like(problem.targets)
    for fold in problem.fold_ids:
        held = problem.folds == fold
        out_of_fold[held] = task_means(problem.targets[~held], one_task[~held], 1, problem.prior_queries)
    means = task_means(problem.targets, one_task, 1, problem.prior_queries)[0]
    return FamilyFit("prior", out_of_fold, lambda rows: np.broadcast_to(means, (len(rows), len(means))))


def fit_task_means(problem: Problem, posterior: Floats, predict_posterior: Callable[[Rows], Floats]) -> FamilyFit:
    """Fit each candidate's mean on every task, weighted by how likely a row is of that task.

    Means of tasks are shrunk to the level of their kind, where one is known, and to the candidates' means.

    Parameters
    ----------
    posterior
        (n, n_tasks) probabilities of the tasks, each by a model that did not see the row's fold.
    predict_posterior
        (q, d) features -> (q, n_tasks) probabilities, for rows that were not trained on.
    """
    return _fit_means(
        "task_means", problem, problem.targets, problem.tasks, problem.task_kinds, posterior, predict_posterior
    )


def fit_kind_means(problem: Problem, kinds: KindPosterior) -> FamilyFit:
    """Fit each candidate's mean on every kind of request, weighted by how likely a row is of that kind.

    Means are taken over the rows whose kind is known.
    """
    targets = np.where((kinds.labels >= 0)[:, None], problem.targets, np.nan)
    labels = np.maximum(kinds.labels, 0)
    return _fit_means("kind_means", problem, targets, labels, None, kinds.out_of_fold, kinds.predict)


def _fit_means(
    name: str,
    problem: Problem,
    targets: Floats,
    groups: NDArray[np.intp],
    kinds: NDArray[np.intp] | None,
    posterior: Floats,
    predict_posterior: Callable[[Rows], Floats],
) -> FamilyFit:
    n_groups = posterior.shape[1]
    out_of_fold = np.empty_like(targets)
    for fold in problem.fold_ids:
        held = problem.folds == fold
        seen = kind_task_means(targets[~held], groups[~held], n_groups, kinds, problem.prior_queries)
        out_of_fold[held] = posterior[held] @ seen
    means = kind_task_means(targets, groups, n_groups, kinds, problem.prior_queries)
    return FamilyFit(name, out_of_fold, lambda rows: predict_posterior(rows) @ means)
