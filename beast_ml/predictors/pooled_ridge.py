"""Ridge over (request, model) pairs that pools what models have in common: made for one outcome a request.

``f_j(x) = phi(x) . (u + v_j)``, with Gaussian priors on u (what all models share: how hard a request is) and on v_j
(what is a model's own). With one outcome a request, u is learnt from all of them and v_j from those of model j alone.
The posterior variance is closed form, so that what is hardly known can be told from what is: it is small near the
requests on which model j was tried, and that of the prior elsewhere. Linear in the number of requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.contract import Floats

__all__ = [
    "PRIORS",
    "OutOfFold",
    "PooledRidge",
    "RidgePrior",
    "choose_prior",
    "fit_pooled_ridge",
    "known_out_of_fold",
    "predict_out_of_fold",
]

_CONSTANT: Final = 4.0
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


PRIORS: Final = tuple(
    RidgePrior(own * part, own) for own in (1.5, 4.0, 10.0, 25.0, 60.0, 150.0) for part in (0.1, 0.3, 1.0, 3.0)
)
"""What cross-validation chooses from by default; equal ``own`` stand side by side, as their inverses are shared."""


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
        return np.asarray(self.noise * np.sqrt(_variance(_with_constant(columns), self.covariance)))


@dataclass(frozen=True)
class OutOfFold:
    """What fits that did not see a request's fold say of it.

    Parameters
    ----------
    predicted
        (n, m) posterior means.
    spread
        (n, m) posterior standard deviations of the expectation.
    noise
        Standard deviation of an outcome about its expectation, by the outcomes that the fits did not see.
    """

    predicted: Floats
    spread: Floats
    noise: float


@dataclass(frozen=True)
class _Moments:
    """Sums over the observed requests of every model: all that a fit needs, so folds are differences of them.

    Outcomes are summed as they are; a fit takes their mean off afterwards, which is that of its own requests. Where
    every outcome was observed, ``gram`` has one matrix for all models.
    """

    gram: Floats
    cross: Floats

    @classmethod
    def of(cls, columns: Floats, values: Floats) -> _Moments:
        full, observed = _with_constant(columns), np.isfinite(values)
        if observed.all():
            return cls((full.T @ full)[None], values.T @ full)
        k, m = full.shape[1], values.shape[1]
        gram, cross = np.empty((m, k, k)), np.empty((m, k))
        for j in range(m):
            seen = full[observed[:, j]]
            gram[j] = seen.T @ seen
            cross[j] = seen.T @ values[observed[:, j], j]
        return cls(gram, cross)

    def minus(self, other: _Moments) -> _Moments:
        return _Moments(self.gram - other.gram, self.cross - other.cross)

    def plus(self, other: _Moments) -> _Moments:
        return _Moments(self.gram + other.gram, self.cross + other.cross)

    @property
    def center(self) -> float:
        """The mean outcome, from the sums with the constant column."""
        n = self.gram[:, -1, -1].mean()
        return float(_CONSTANT * self.cross[:, -1].mean() / n) if n else 0.0

    def centered(self) -> _Moments:
        return _Moments(self.gram, self.cross - self.center / _CONSTANT * self.gram[:, -1])


def fit_pooled_ridge(columns: Floats, values: Floats, prior: RidgePrior, noise: float = 1.0) -> PooledRidge:
    """Fit (n, m) values, NaN where not observed, on (n, k) columns.

    ``noise`` is `OutOfFold.noise`: what is left of the outcomes that a fit has seen is too small to tell. It plays no
    part in predictions, and the default leaves spreads in units of it.

    Raises
    ------
    NotEnoughDataError
        If nothing was observed.
    """
    _check(values)
    moments = _Moments.of(columns, values)
    weights, covariance = _solve(moments.centered(), [prior], with_covariance=True)
    return PooledRidge(moments.center, weights[0], covariance, noise)


def choose_prior(
    columns: Floats, values: Floats, folds: NDArray[np.intp], priors: Sequence[RidgePrior] = PRIORS
) -> RidgePrior:
    """Return the prior whose out-of-fold squared error is least."""
    error = np.zeros(len(priors))
    for held, kept in _by_fold(columns, values, folds):
        full, truth = _with_constant(columns[held]), values[held] - kept.center
        for i, weight in enumerate(_solve(kept.centered(), priors)[0]):
            error[i] += float(np.nansum((full @ weight - truth) ** 2))
    return priors[int(error.argmin())]


def predict_out_of_fold(columns: Floats, values: Floats, folds: NDArray[np.intp], prior: RidgePrior) -> Floats:
    """Return (n, m) predictions, each by a fit that did not see the request's fold."""
    out = np.empty(values.shape)
    for held, kept in _by_fold(columns, values, folds):
        out[held] = kept.center + _with_constant(columns[held]) @ _solve(kept.centered(), [prior])[0][0]
    return out


def known_out_of_fold(columns: Floats, values: Floats, folds: NDArray[np.intp], prior: RidgePrior) -> OutOfFold:
    """Return predictions and how well they are known, each by a fit that did not see the request's fold.

    A held-out outcome strays from its prediction by its own noise and by what the fit does not know, a variance of
    noise^2 (1 + spread^2) with the spread in units of the noise: that is where the noise is taken from.
    """
    predicted, variance = np.empty(values.shape), np.empty(values.shape)
    for held, kept in _by_fold(columns, values, folds):
        weights, covariance = _solve(kept.centered(), [prior], with_covariance=True)
        full = _with_constant(columns[held])
        predicted[held] = kept.center + full @ weights[0]
        variance[held] = _variance(full, covariance)
    noise = float(np.sqrt(np.nanmean((values - predicted) ** 2 / (1.0 + variance))))
    return OutOfFold(predicted, noise * np.sqrt(variance), noise)


def _by_fold(columns: Floats, values: Floats, folds: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.bool_], _Moments]]:
    """Yield the requests of every fold, and the sums over all others."""
    _check(values)
    names = np.unique(folds)
    parts = [_Moments.of(columns[folds == fold], values[folds == fold]) for fold in names]
    total = reduce(_Moments.plus, parts)
    for fold, part in zip(names, parts, strict=True):
        yield folds == fold, total.minus(part)


def _solve(
    moments: _Moments, priors: Sequence[RidgePrior], with_covariance: bool = False
) -> tuple[list[Floats], Floats]:
    """Return (k, m) weights for each prior, and the covariances of the last one."""
    m, k = moments.cross.shape
    identity = np.eye(k)
    found: list[Floats] = []
    covariance = np.empty((0, k, k))
    inverse, of_own = np.empty((m, k, k)), -1.0
    for prior in priors:
        own = prior.own
        if of_own != own:  # the grid is ordered, so that the dear inverses are made once each
            inverse, of_own = np.asarray(np.linalg.inv(moments.gram + own * identity)), own
        # The v_j are eliminated: what is left for u is own * (I - own * inverse), summed over the models.
        schur = prior.shared * identity + own * m * (identity - own * inverse.mean(axis=0))
        each = (inverse @ moments.cross[:, :, None])[:, :, 0]
        shared = np.linalg.solve(schur, own * each.sum(axis=0))
        found.append((own * inverse @ shared + each).T)
        if with_covariance:
            covariance = np.broadcast_to(inverse + own**2 * inverse @ np.linalg.inv(schur) @ inverse, (m, k, k))
    return found, covariance


def _variance(full: Floats, covariance: Floats) -> Floats:
    """Return (n, m) posterior variances in units of the noise variance."""
    variance = np.empty((len(full), len(covariance)))
    for j, matrix in enumerate(covariance):
        variance[:, j] = np.einsum("nk,nk->n", full @ matrix, full)
    return np.maximum(variance, 0.0)


def _check(values: Floats) -> None:
    if not np.isfinite(values).any():
        raise NotEnoughDataError("no outcome was observed: there is nothing to learn from")


def _with_constant(columns: Floats) -> Floats:
    return np.hstack([columns, np.full((len(columns), 1), _CONSTANT)])
