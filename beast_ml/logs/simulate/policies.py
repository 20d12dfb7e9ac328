"""Logging policies with exact propensities: a probability for every query and candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError, UnknownModelError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import PolicyConfig

__all__ = ["LoggingPolicy", "logging_policy", "mean_utility"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LoggingPolicy:
    """What a policy does on every query.

    Parameters
    ----------
    version
        Its name in the log, e.g. ``simulated:uniform``.
    candidates
        (n, m) bool: the models whose outcome is known, so that whatever is chosen has a true outcome.
    probabilities
        (n, m): rows of queries with a candidate sum to one; exactly zero where a model is not a candidate.
    preference
        (n, m): model indices, best first; candidates stand before the others. The order of fallback.
    """

    version: str
    candidates: NDArray[np.bool_]
    probabilities: Floats
    preference: NDArray[np.intp]

    def choose(self, queries: NDArray[np.intp], uniforms: Floats) -> NDArray[np.intp]:
        """Return the model index for each query, given numbers uniform on [0, 1): the inverse distribution."""
        cumulative = self.probabilities[queries].cumsum(axis=1)
        cumulative /= cumulative[:, -1:]  # ends in exactly 1.0, which no uniform number reaches
        return np.asarray((cumulative <= uniforms[:, None]).sum(axis=1))


def logging_policy(outcomes: OutcomeMatrix, config: PolicyConfig) -> LoggingPolicy:
    """Return the configured policy on an outcome set.

    Raises
    ------
    UnknownModelError
        If the preferred model is not in the outcome set.
    NotEnoughDataError
        If no query has a known outcome.
    """
    candidates = ~np.isnan(outcomes.quality)
    if not candidates.any():
        raise NotEnoughDataError("no query of the outcome set has a known quality: there is nothing to simulate")
    if config.model is not None and config.model not in outcomes.models:
        raise UnknownModelError(
            f"`model` == {config.model!r} is not in the outcome set; it has {', '.join(outcomes.models)}"
        )
    utility = np.where(candidates, mean_utility(outcomes, config), -np.inf)
    ranked = utility.copy()
    if config.model is not None:
        preferred = outcomes.models.index(config.model)
        ranked[candidates[:, preferred], preferred] = np.inf
    preference = np.argsort(-ranked, axis=1, kind="stable")
    uniform = candidates / np.maximum(candidates.sum(axis=1, keepdims=True), 1)
    greedy = np.zeros_like(utility)
    np.put_along_axis(greedy, preference[:, :1], 1.0, axis=1)
    greedy *= candidates
    match config.kind:
        case "uniform":
            probabilities = uniform
        case "deterministic":
            probabilities = greedy
        case "epsilon-greedy":
            # Rounding may lift the sum for a lone candidate an ulp above one.
            probabilities = np.minimum((1.0 - config.epsilon) * greedy + config.epsilon * uniform, 1.0)
        case "softmax":
            best = utility.max(axis=1, keepdims=True)
            scaled = np.exp((utility - np.where(np.isfinite(best), best, 0.0)) / config.temperature)
            probabilities = scaled / np.maximum(scaled.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return LoggingPolicy(f"simulated:{config.kind}", candidates, probabilities, preference)


def mean_utility(outcomes: OutcomeMatrix, config: PolicyConfig) -> Floats:
    """Return the (n, m) mean utility of each model, over all queries or over those of the query's own task.

    A mean is over the queries whose quality is known; a model never tried on a task has its overall mean there. Costs
    that are not known count as the model's mean cost, or as nothing where it has none.
    """
    quality, known = np.nan_to_num(outcomes.quality), ~np.isnan(outcomes.quality)
    counts = known.sum(axis=0)
    utility = quality.copy()
    if config.willingness_to_pay is not None:
        priced = ~np.isnan(outcomes.cost_usd)
        costs = np.nan_to_num(outcomes.cost_usd)
        means = costs.sum(axis=0) / np.maximum(priced.sum(axis=0), 1)
        utility -= np.where(priced, costs, means) / config.willingness_to_pay
    overall = (utility * known).sum(axis=0) / np.maximum(counts, 1)
    if config.per == "model":
        return np.broadcast_to(overall, utility.shape)
    tasks, rows = np.unique(outcomes.tasks, return_inverse=True)
    sums, tried = np.zeros((len(tasks), len(outcomes.models))), np.zeros((len(tasks), len(outcomes.models)))
    np.add.at(sums, rows, utility * known)
    np.add.at(tried, rows, known)
    by_task = np.where(tried > 0, sums / np.maximum(tried, 1), overall)
    return np.asarray(by_task[rows])
