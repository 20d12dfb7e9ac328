"""Ridge over (request, model) pairs that pools what models have in common: made for one outcome a request.

``f_j(x) = phi(x) . (u + v_j)``, with Gaussian priors on u (what all models share: how hard a request is) and on v_j
(what is a model's own). With one outcome a request, u is learnt from all of them and v_j from those of model j alone.
The posterior variance is closed form, so that what is hardly known can be told from what is: it is small near the
requests on which model j was tried, and that of the prior elsewhere. Linear in the number of requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.contract import Floats

__all__ = ["PooledRidge", "RidgePrior", "choose_prior", "fit_pooled_ridge", "predict_out_of_fold"]

_CONSTANT: Final = 2.0
"""Value of the constant column: how much wider the prior of a model's mean is than that of its deviations."""


@dataclass(frozen=True)
class RidgePrior:
    """Prior precisions in units of the noise precision.

    Parameters
    ----------
    shared
        Of u.
    own
        Of every v_j.
    """

    shared: float
    own: float


_GRID: Final = tuple(
    RidgePrior(own * part, own) for own in (1.5, 4.0, 10.0, 25.0, 60.0, 150.0) for part in (0.1, 0.3, 1.0, 3.0)
)


@dataclass(frozen=True)
class PooledRidge:
    """The fitted model.

    Parameters
    ----------
    center
        What is expected where nothing is known.
    weights
        (k + 1, m), the constant's last.
    covariance
        (m, k + 1, k + 1) posterior covariances of the weights, in units of the noise variance.
    noise
        Standard deviation of an outcome about its expectation.
    """

    center: float
    weights: Floats
    covariance: Floats
    noise: float

    def predict(self, columns: Floats) -> Floats:
        """Return (n, m) posterior means for (n, k) columns."""
        return np.asarray(self.center + columns @ self.weights[:-1] + _CONSTANT * self.weights[-1])

    def spread(self, columns: Floats) -> Floats:
        """Return (n, m) posterior standard deviations of the expectation (not of a single outcome)."""
        full = _with_constant(columns)
        variance = np.empty((len(full), len(self.covariance)))
        for j, matrix in enumerate(self.covariance):
            variance[:, j] = np.einsum("nk,nk->n", full @ matrix, full)
        return np.asarray(self.noise * np.sqrt(np.maximum(variance, 0.0)))


@dataclass(frozen=True)
class _Moments:
    """Sums over the observed requests of every model: all that a fit needs, so folds are differences of them."""

    gram: Floats
    cross: Floats

    @classmethod
    def of(cls, columns: Floats, values: Floats) -> _Moments:
        full, observed = _with_constant(columns), np.isfinite(values)
        k, m = full.shape[1], values.shape[1]
        gram, cross = np.empty((m, k, k)), np.empty((m, k))
        everywhere = full.T @ full if observed.all() else None
        for j in range(m):
            seen = full[observed[:, j]]
            gram[j] = seen.T @ seen if everywhere is None else everywhere
            cross[j] = seen.T @ values[observed[:, j], j]
        return cls(gram, cross)

    def minus(self, other: _Moments) -> _Moments:
        return _Moments(self.gram - other.gram, self.cross - other.cross)

    def plus(self, other: _Moments) -> _Moments:
        return _Moments(self.gram + other.gram, self.cross + other.cross)


def fit_pooled_ridge(columns: Floats, values: Floats, prior: RidgePrior) -> PooledRidge:
    """Fit (n, m) values, NaN where not observed, on (n, k) columns.

    Raises
    ------
    NotEnoughDataError
        If nothing was observed.
    """
    center = _center(values)
    moments = _Moments.of(columns, values - center)
    weights, covariance = _solve(moments, [prior], with_covariance=True)
    fitted = PooledRidge(center, weights[0], covariance, 1.0)
    residual = (values - fitted.predict(columns))[np.isfinite(values)]
    return PooledRidge(center, weights[0], covariance, float(residual.std()) + 1e-9)


def choose_prior(columns: Floats, values: Floats, folds: NDArray[np.intp]) -> RidgePrior:
    """Return the prior whose out-of-fold squared error is least."""
    error = np.zeros(len(_GRID))
    for _, weights, held, center in _by_fold(columns, values, folds, _GRID):
        full, truth = _with_constant(columns[held]), values[held] - center
        for i, weight in enumerate(weights):
            error[i] += float(np.nansum((full @ weight - truth) ** 2))
    return _GRID[int(error.argmin())]


def predict_out_of_fold(columns: Floats, values: Floats, folds: NDArray[np.intp], prior: RidgePrior) -> Floats:
    """Return (n, m) predictions, each by a fit that did not see the request's fold."""
    out = np.empty(values.shape)
    for _, weights, held, center in _by_fold(columns, values, folds, [prior]):
        out[held] = center + _with_constant(columns[held]) @ weights[0]
    return out


def _by_fold(
    columns: Floats, values: Floats, folds: NDArray[np.intp], priors: Sequence[RidgePrior]
) -> list[tuple[int, list[Floats], NDArray[np.bool_], float]]:
    center = _center(values)
    names = np.unique(folds)
    parts = [_Moments.of(columns[folds == fold], values[folds == fold] - center) for fold in names]
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return [
        (int(fold), _solve(total.minus(part), priors)[0], folds == fold, center)
        for fold, part in zip(names, parts, strict=True)
    ]


def _solve(
    moments: _Moments, priors: Sequence[RidgePrior], with_covariance: bool = False
) -> tuple[list[Floats], Floats]:
    """Return (k, m) weights for each prior, and the covariances of the last one."""
    m, k = moments.cross.shape
    identity = np.eye(k)
    found: list[Floats] = []
    covariance = np.empty((m, k, k)) if with_covariance else np.empty((0, k, k))
    inverse, of_own = np.empty((m, k, k)), -1.0
    for prior in priors:
        own = prior.own
        if of_own != own:  # the grid is ordered, so that the dear inverses are made once each
            inverse, of_own = np.asarray(np.linalg.inv(moments.gram + own * identity)), own
        # The v_j are eliminated: what is left for u is own * (I - own * inverse), summed over the models.
        schur = prior.shared * identity + own * (m * identity - own * inverse.sum(axis=0))
        each = np.einsum("jkl,jl->jk", inverse, moments.cross)
        shared = np.linalg.solve(schur, own * each.sum(axis=0))
        found.append((own * inverse @ shared + each).T)
        if with_covariance:
            covariance = inverse + own**2 * inverse @ np.linalg.inv(schur) @ inverse
    return found, covariance


def _center(values: Floats) -> float:
    if not np.isfinite(values).any():
        raise NotEnoughDataError("no outcome was observed: there is nothing to learn from")
    return float(np.nanmean(values))


def _with_constant(columns: Floats) -> Floats:
    return np.hstack([columns, np.full((len(columns), 1), _CONSTANT)])
