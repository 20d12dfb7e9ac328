"""Linear models of the features: ridge in closed form, and its low-rank form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem

__all__ = ["cross_ridge", "fit_low_rank", "fit_ridge"]

_PENALTIES: Final = (30.0, 100.0, 300.0, 1000.0, 3000.0)
_RANKS: Final = (1, 2, 4, 8)


def fit_ridge(problem: Problem) -> FamilyFit:
    """Fit ridge regression; the penalty by cross-validation, one for all candidates."""
    penalty, out_of_fold, weights, means = _ridge(problem)

    def predict(rows: Rows) -> Floats:
        return problem.bounded(problem.standardise(rows) @ weights + means)

    return FamilyFit("ridge", problem.bounded(out_of_fold), predict, {"penalty": penalty})


def fit_low_rank(problem: Problem) -> FamilyFit:
    """Fit reduced-rank ridge regression (Izenman 1975): what the candidates share of ability and difficulty.

    Ridge predictions are projected onto the leading directions in which they vary together over the candidates, which
    is what item response models with as many dimensions assume. The rank is chosen by cross-validation.
    """
    penalty, ridge, weights, means = _ridge(problem)
    centred = ridge - means
    others = [(problem.folds == fold, _directions(centred[problem.folds != fold])) for fold in problem.fold_ids]
    errors: dict[int, tuple[float, Floats]] = {}
    for rank in sorted({min(rank, len(means)) for rank in _RANKS}):
        projected = np.empty_like(centred)
        for held, directions in others:
            projected[held] = centred[held] @ directions[:rank].T @ directions[:rank]
        candidate = problem.bounded(projected + means)
        errors[rank] = float(np.nanmean((candidate - problem.targets) ** 2)), candidate
    rank = min(errors, key=lambda rank: errors[rank][0])
    leading = _directions(centred)[:rank]
    folded = weights @ (leading.T @ leading)

    def predict(rows: Rows) -> Floats:
        return problem.bounded(problem.standardise(rows) @ folded + means)

    return FamilyFit("low_rank", errors[rank][1], predict, {"penalty": penalty, "rank": float(rank)})


def _ridge(problem: Problem) -> tuple[float, Floats, Floats, Floats]:
    fit = lambda: cross_ridge(problem.inputs, problem, np.zeros_like(problem.targets), _PENALTIES)  # noqa: E731
    return problem.memo.of((problem.targets_digest, "ridge"), fit)


def _directions(predicted: Floats) -> Floats:
    """Return (m, m) orthonormal directions over the candidates, those of most variation first."""
    return np.asarray(np.linalg.eigh(predicted.T @ predicted)[1].T[::-1])


def cross_ridge(
    features: Floats, problem: Problem, base: Floats, penalties: tuple[float, ...]
) -> tuple[float, Floats, Floats, Floats]:
    """Return the best penalty, (n, m) out-of-fold predictions, and weights (d, m) and intercepts (m,) of the final fit.

    Regresses ``targets - base`` on features; unobserved cells are left out. Normal equations are added up by fold once,
    and every fit takes off what it must not see.

    Parameters
    ----------
    features
        (n, d).
    base
        (n, m) out-of-fold predictions to improve upon; they are added to what comes back.
    """
    residual = problem.targets - base
    m = residual.shape[1]
    blocks = [np.arange(m)] if problem.seen.all() else [np.array([j]) for j in range(m)]
    out = {penalty: np.empty_like(residual) for penalty in penalties}
    weights = {penalty: np.empty((features.shape[1], m)) for penalty in penalties}
    intercepts = {penalty: np.empty(m) for penalty in penalties}
    for block in blocks:
        seen = problem.seen[:, block[0]]
        held = [problem.folds == fold for fold in problem.fold_ids]
        parts = [_Moments.of(features[seen & fold], residual[np.ix_(seen & fold, block)]) for fold in held]
        total = _Moments.added(parts)
        for fold, part in zip(held, parts, strict=True):
            for penalty, (w, intercept) in total.without(part).solve(penalties).items():
                out[penalty][np.ix_(fold, block)] = features[fold] @ w + intercept
        for penalty, (w, intercept) in total.solve(penalties).items():
            weights[penalty][:, block], intercepts[penalty][block] = w, intercept
    errors = {penalty: float(np.nanmean((values - residual) ** 2)) for penalty, values in out.items()}
    best = min(errors, key=lambda penalty: errors[penalty])
    return best, out[best] + base, weights[best], intercepts[best]


@dataclass(frozen=True)
class _Moments:
    """Sums over rows that a least-squares fit is made of."""

    gram: Floats
    cross: Floats
    inputs: Floats
    outputs: Floats
    n: float

    @classmethod
    def of(cls, x: Floats, y: Floats) -> _Moments:
        return cls(x.T @ x, x.T @ y, x.sum(axis=0), y.sum(axis=0), float(len(x)))

    @classmethod
    def added(cls, parts: Sequence[_Moments]) -> _Moments:
        first, *rest = parts
        for part in rest:
            first = first._combined(part, 1.0)
        return first

    def without(self, part: _Moments) -> _Moments:
        return self._combined(part, -1.0)

    def _combined(self, other: _Moments, sign: float) -> _Moments:
        return _Moments(
            self.gram + sign * other.gram,
            self.cross + sign * other.cross,
            self.inputs + sign * other.inputs,
            self.outputs + sign * other.outputs,
            self.n + sign * other.n,
        )

    def solve(self, penalties: Sequence[float]) -> dict[float, tuple[Floats, Floats]]:
        """Return (weights, intercepts) for each penalty > 0; without rows nothing but zeros."""
        from scipy.linalg import solve

        n = max(self.n, 1.0)
        gram = self.gram - np.outer(self.inputs, self.inputs) / n
        cross = self.cross - np.outer(self.inputs, self.outputs) / n
        solved = {}
        for penalty in penalties:
            w = solve(gram + penalty * np.eye(len(gram)), cross, assume_a="pos")
            solved[penalty] = w, (self.outputs - self.inputs @ w) / n
        return solved
