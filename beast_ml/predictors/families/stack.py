"""Mix the families by what their out-of-fold predictions were worth (Wolpert 1992, Breiman 1996)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.routing_error import centred

__all__ = ["fit_stack", "routing_errors"]

_RIDGE: Final = 1e-3


def fit_stack(problem: Problem, members: tuple[FamilyFit, ...]) -> FamilyFit:
    """Fit non-negative weights that sum to one, the same for all candidates, on out-of-fold predictions.

    They minimise `routing_errors`, with a slight pull towards equal weights. Since the candidates' means and their
    means by task are members, this is also where predictions are shrunk towards them, by as much as pays.
    """
    truth = _centred(problem, problem.targets)[problem.seen]
    views = np.stack([_centred(problem, member.out_of_fold)[problem.seen] for member in members])
    gram = views @ views.T / max(truth.size, 1)
    cross = views @ truth / max(truth.size, 1)
    k = len(members)
    weights = _on_simplex(gram + _RIDGE * np.trace(gram) / k * np.eye(k), cross + _RIDGE * np.trace(gram) / k / k)

    def mix(predictions: Sequence[Floats]) -> Floats:
        return np.asarray(sum(weight * values for weight, values in zip(weights, predictions, strict=True)))

    def predict(rows: Rows) -> Floats:
        return mix([member.predict(rows) for member in members])

    shares: Mapping[str, float] = {
        f"weight of {member.name}": float(w) for member, w in zip(members, weights, strict=True)
    }
    return FamilyFit("stack", mix([member.out_of_fold for member in members]), predict, shares)


def routing_errors(problem: Problem, predicted: Floats) -> Floats:
    """Return each row's mean squared error, counted for what routing needs: the differences between candidates.

    Amounts count as they are. For probabilities, where two or more candidates were observed on a row, its predictions
    and outcomes are centred over them first: that all candidates do well on an easy prompt moves no decision, and a
    calibration on top mends the common level. A row of one observation counts as it is. Rows without any are left
    out.
    """
    usable = problem.seen.any(axis=1)
    error = np.where(problem.seen, _centred(problem, predicted) - _centred(problem, problem.targets), 0.0) ** 2
    return np.asarray(error[usable].sum(axis=1) / problem.seen[usable].sum(axis=1))


def _centred(problem: Problem, values: Floats) -> Floats:
    """Return probabilities minus their mean over a row's observed cells; amounts matter as they are."""
    return values if problem.loss == "squared" else centred(values, problem.seen)


def _on_simplex(gram: Floats, cross: Floats) -> Floats:
    """Return the weights >= 0 with sum 1 that minimise w'Gw - 2c'w: a non-negative least squares problem."""
    from scipy.optimize import nnls

    k = len(cross)
    # A heavy row asks for the sum; G = L L' turns the quadratic form into a sum of squares.
    root = np.linalg.cholesky(gram + 1e-12 * np.trace(gram) * np.eye(k))
    heavy = 1e3 * np.sqrt(np.trace(gram))
    design = np.vstack([root.T, np.full((1, k), heavy)])
    weights, _ = nnls(design, np.concatenate([np.linalg.solve(root, cross), [heavy]]))
    return np.asarray(weights / weights.sum())
