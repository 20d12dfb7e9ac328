"""Small networks with a head that guesses the task, several of them averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.heads import DenseHead, sigmoid, softmax
from beast_ml.predictors.network import NetworkConfig, fit_network

__all__ = ["NetworkFit", "fit_networks"]


@dataclass(frozen=True)
class NetworkFit:
    """Averaged networks, and what their other head says of the tasks.

    Parameters
    ----------
    fit
        The family.
    heads
        The networks fitted on everything; outputs (m + tasks).
    posterior
        (n, n_tasks) out-of-fold probabilities of the tasks.
    n_tasks
        How many tasks the networks tell apart; 1 where they have no such head.
    """

    fit: FamilyFit
    heads: tuple[DenseHead, ...]
    posterior: Floats
    n_tasks: int

    def predict_posterior(self, rows: Rows) -> Floats:
        """Return (q, n_tasks) probabilities of the tasks for rows that were not trained on."""
        return np.asarray(np.mean([_posterior(head.forward(rows), self.n_tasks) for head in self.heads], axis=0))


def fit_networks(problem: Problem, rng: np.random.Generator, config: NetworkConfig, n_networks: int) -> NetworkFit:
    """Fit networks that differ in their random start and the order of the rows, and average them before the link."""
    m = problem.targets.shape[1]
    n_tasks = problem.n_tasks if config.task_weight else 1
    crosses = [
        fit_network(
            problem.rows,
            problem.targets,
            problem.folds,
            loss=problem.loss,
            config=config,
            rng=rng,
            tasks=problem.tasks if n_tasks > 1 else None,
            progress=problem.progress,
            label=problem.label if n_networks == 1 else f"{problem.label}: network {i + 1} of {n_networks}",
        )
        for i in range(n_networks)
    ]
    heads = tuple(cross.head for cross in crosses)

    def linked(outputs: list[Rows]) -> Floats:
        mean = np.mean([output[:, :m] for output in outputs], axis=0, dtype=np.float64)
        return sigmoid(np.asarray(mean)) if problem.loss == "probability" else np.asarray(mean)

    curve = np.mean([cross.learning_curve for cross in crosses], axis=0)
    fit = FamilyFit(
        "network",
        linked([cross.out_of_fold for cross in crosses]),
        lambda rows: linked([head.forward(rows) for head in heads]),
        {"networks": float(n_networks)},
        tuple((float(batches), float(held_out)) for batches, held_out in curve),
    )
    posterior = np.mean([_posterior(cross.out_of_fold, n_tasks) for cross in crosses], axis=0)
    return NetworkFit(fit, heads, posterior, n_tasks)


def _posterior(outputs: Rows, n_tasks: int) -> Floats:
    """Return (n, n_tasks) probabilities; a single task has no output, because it is certain."""
    return softmax(outputs[:, -n_tasks:]) if n_tasks > 1 else np.ones((len(outputs), 1))
