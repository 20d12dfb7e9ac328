"""What is known without looking at a prompt: each candidate's mean, or its mean on each task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.shrinkage import cross_task_means, task_means

__all__ = ["fit_prior", "fit_task_means"]


def fit_prior(problem: Problem) -> FamilyFit:
    """Fit each candidate's mean, shrunk to the mean of all as if by 20 more rows."""
    one_task = np.zeros(len(problem.rows), dtype=np.intp)
    certain = np.ones((len(problem.rows), 1))
    out_of_fold, _ = cross_task_means(problem.targets, one_task, certain, problem.folds)
    means = task_means(problem.targets, one_task, 1)[0]
    return FamilyFit("prior", out_of_fold, lambda rows: np.broadcast_to(means, (len(rows), len(means))))


def fit_task_means(problem: Problem, posterior: Floats, predict_posterior: Callable[[Rows], Floats]) -> FamilyFit:
    """Fit each candidate's mean on every task, weighted by how likely a row is of that task.

    Parameters
    ----------
    posterior
        (n, n_tasks) probabilities of the tasks, each by a model that did not see the row's fold.
    predict_posterior
        (n, d) features -> (n, n_tasks) probabilities, for rows that were not trained on.
    """
    out_of_fold, _ = cross_task_means(problem.targets, problem.tasks, posterior, problem.folds)
    means = task_means(problem.targets, problem.tasks, problem.n_tasks)
    return FamilyFit("task_means", out_of_fold, lambda rows: predict_posterior(rows) @ means)
