"""Platt scaling per candidate: probabilities that mean what they say, with the uncertainty of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats
from beast_ml.predictors.heads import sigmoid

__all__ = ["PlattScaling", "cross_calibrate", "logit"]

_Z90: Final = 1.6448536269514722
_PRIOR_SLOPE: Final = 50.0
_PRIOR_OFFSET: Final = 5.0
_STEPS: Final = 25
_EDGE: Final = 5e-3
_BINS: Final = 10
_MIN_BIN: Final = 20
_NUMBERS: Final = ("slope", "offset", "covariance", "misfit")


def logit(probability: Floats) -> Floats:
    """Return log(p / (1 - p)) with p kept 0.005 away from 0 and 1."""
    clipped = np.minimum(np.maximum(probability, _EDGE), 1.0 - _EDGE)  # np.clip takes longer than both
    return np.asarray(np.log(clipped / (1.0 - clipped)))


@dataclass(frozen=True)
class PlattScaling:
    """p -> sigmoid(slope x logit(p) + offset), one slope and offset a candidate (Platt 1999), or one slope for all.

    Parameters
    ----------
    slope, offset
        (m,).
    covariance
        (m, 3): the variances of slope and offset, and their covariance.
    misfit
        (m,): variance of the true logit around the curve, beyond what the fit is uncertain of; requests that are
        predicted alike are not all on one logistic curve.
    """

    slope: Floats
    offset: Floats
    covariance: Floats
    misfit: Floats

    @classmethod
    def fit(cls, predicted: Floats, truth: Floats) -> PlattScaling:
        """Fit on (n, m) out-of-fold predictions and outcomes in 0..1; NaN outcomes are left out.

        A normal prior around slope 1 and offset 0, worth some dozens of observations, keeps candidates with little
        data as they were. The covariance is the sandwich estimate, so fractional outcomes are fine.
        """
        return cls._together([cls._fit_jointly(predicted[:, [j]], truth[:, [j]]) for j in range(predicted.shape[1])])

    @classmethod
    def fit_common_slope(cls, predicted: Floats, truth: Floats) -> PlattScaling:
        """Fit likewise, with one slope for all candidates.

        How much predictions must be stretched is then the same for all, so that a request that is easy for everybody
        moves no candidate past another.
        """
        return cls._together([cls._fit_jointly(predicted, truth)])

    @classmethod
    def _together(cls, parts: Sequence[PlattScaling]) -> PlattScaling:
        # One candidate's ten bins tell a variance badly, so all share what they say together.
        misfit = np.concatenate([part.misfit for part in parts])
        slope, offset, covariance = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("slope", "offset", "covariance")
        )
        return cls(slope, offset, covariance, np.full(len(misfit), misfit.mean()))

    @classmethod
    def _fit_jointly(cls, predicted: Floats, truth: Floats) -> PlattScaling:
        """Fit one slope and m offsets by Newton's method; parameters are the slope, then the offsets."""
        m, seen = predicted.shape[1], ~np.isnan(truth)
        x, y = logit(predicted), np.where(seen, truth, 0.0)
        start = np.concatenate([[1.0], np.zeros(m)])
        prior = 0.25 * np.diag([_PRIOR_SLOPE, *[_PRIOR_OFFSET] * m])
        theta = start.copy()

        def moments(weights: Floats) -> Floats:
            """Return the sums of weights x features x features', (m + 1, m + 1)."""
            out = np.diag(np.concatenate([[(weights * x * x).sum()], weights.sum(axis=0)]))
            out[0, 1:] = out[1:, 0] = (weights * x).sum(axis=0)
            return out

        for _ in range(_STEPS):
            p = sigmoid(theta[0] * x + theta[1:])
            residual = np.where(seen, p - y, 0.0)
            gradient = np.concatenate([[(residual * x).sum()], residual.sum(axis=0)]) + prior @ (theta - start)
            hessian = moments(np.where(seen, p * (1.0 - p), 0.0)) + prior
            step = np.linalg.solve(hessian, gradient)
            theta = theta - step / max(1.0, float(np.abs(step).max()))  # a whole one from far off overshoots
            if np.abs(step).max() < 1e-8:
                break
        p = sigmoid(theta[0] * x + theta[1:])
        bread = np.linalg.inv(hessian)
        sandwich = bread @ (moments(np.where(seen, p - y, 0.0) ** 2) + prior) @ bread
        variances = np.diag(sandwich)
        return cls(
            slope=np.full(m, theta[0]),
            offset=theta[1:],
            covariance=np.stack([np.full(m, variances[0]), variances[1:], sandwich[0, 1:]], axis=1),
            misfit=np.array([_misfit(p[seen[:, j], j], truth[seen[:, j], j]) for j in range(m)]),
        )

    def apply(self, predicted: Floats) -> Floats:
        """Return calibrated probabilities for (n, m) predictions."""
        return sigmoid(self.slope * logit(predicted) + self.offset)

    def interval(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Return 90% limits, (n, m) each, of the mean outcome over requests that are predicted alike."""
        x = logit(predicted)
        center = self.slope * x + self.offset
        variance = self.covariance[:, 0] * x**2 + self.covariance[:, 1] + 2.0 * self.covariance[:, 2] * x
        half = _Z90 * np.sqrt(np.maximum(variance, 0.0) + self.misfit)
        return sigmoid(center - half), sigmoid(center + half)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able numbers, for `from_dict`."""
        return {name: getattr(self, name).tolist() for name in _NUMBERS}

    @classmethod
    def from_dict(cls, numbers: dict[str, Any]) -> PlattScaling:
        """Rebuild from what `to_dict` returned."""
        arrays: dict[str, NDArray[np.float64]] = {name: np.asarray(value, float) for name, value in numbers.items()}
        return cls(**{name: arrays[name] for name in _NUMBERS})


def _misfit(calibrated: Floats, truth: Floats) -> float:
    """Return the variance of the true logit around calibrated predictions, by the method of moments.

    In up to ten bins of equal mass, a bin's mean residual scatters by its sampling error and by the misfit; what is
    left after the former is taken off is the latter.
    """
    n_bins = min(_BINS, len(truth) // _MIN_BIN)
    if n_bins < 2:
        return 0.0
    bins = np.array_split(np.argsort(calibrated, kind="stable"), n_bins)
    residual = truth - calibrated
    mean = np.array([residual[rows].mean() for rows in bins])
    sampling = np.array([residual[rows].var(ddof=1) / len(rows) for rows in bins])
    slope = np.array([(calibrated[rows] * (1.0 - calibrated[rows])).mean() for rows in bins])
    # Two parameters were fitted to these bins, which took as many degrees of freedom off the scatter.
    excess = (mean**2).sum() / max(n_bins - 2, 1) - sampling.mean()
    return max(0.0, float(excess / (slope**2).mean()))


def cross_calibrate(predicted: Floats, truth: Floats, folds: NDArray[np.intp]) -> Floats:
    """Return (n, m) out-of-fold predictions, each calibrated by a scaling fitted on the other folds."""
    calibrated = np.empty_like(predicted)
    for fold in np.unique(folds):
        held = folds == fold
        calibrated[held] = PlattScaling.fit(predicted[~held], truth[~held]).apply(predicted[held])
    return calibrated
