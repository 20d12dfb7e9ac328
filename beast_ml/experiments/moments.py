"""Sufficient statistics of a ratio metric: what is kept of the units of a variant, and all that its tests need.

A metric is a ratio of sums: the sum of all values over the number of observations. A unit (a user, say) may have many
observations, and they are no independent evidence; so everything is counted by unit: each has a total of its values, a
number of observations, and totals of its covariates. Their means and covariances suffice for the ratio, for its
variance (delta method: Deng, Knoblich, Lu 2018) and for the adjustment by covariates (CUPED: Deng, Xu, Kohavi, Walker
2013; regression adjustment: Lin 2013). The same code serves one moment and a whole history of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError

__all__ = ["Difference", "UnitMoments", "difference"]

Floats = NDArray[np.float64]

_PRECISION: Final = 8 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class UnitMoments:
    """What is known of the units of a variant: after some observations, or after each of a sequence of looks.

    Parameters
    ----------
    n
        (...) number of units.
    mean
        (..., d) means over units of: the total of the values, the number of observations, totals of each covariate.
    cov
        (..., d, d) their covariances, with n - 1 below the line; NaN for fewer than two units.
    skewness
        (...) of the units' deviations from the ratio; NaN where all deviations are equal.
    """

    n: NDArray[np.int64]
    mean: Floats
    cov: Floats
    skewness: Floats

    @classmethod
    def of(cls, totals: Floats) -> UnitMoments:
        """Return the moments of (n, d) totals by unit: values, observations, covariates.

        Examples
        --------
        >>> UnitMoments.of(np.array([[1.0, 2.0], [3.0, 2.0]])).ratio.tolist()
        1.0
        """
        n = len(totals)
        if n == 0:
            raise InputError("moments of no unit: give at least one")
        mean = totals.mean(axis=0)
        centred = totals - mean
        cov = centred.T @ centred / (n - 1) if n > 1 else np.full((totals.shape[1],) * 2, np.nan)
        deviation = totals[:, 0] - mean[0] / mean[1] * totals[:, 1]
        return cls(np.int64(n), mean, cov, _skewness(float((deviation**3).mean()), float((deviation**2).mean())))  # type: ignore[arg-type]

    @property
    def ratio(self) -> Floats:
        """(...) sum of the values over the number of observations."""
        return np.asarray(self.mean[..., 0] / self.mean[..., 1])

    @property
    def ratio_variance(self) -> Floats:
        """(...) variance of the ratio, by the delta method."""
        return np.asarray(self.ratio_covariance[..., 0, 0])

    @property
    def ratios(self) -> Floats:
        """(..., 1 + k) the ratio, and that of each covariate."""
        columns = [0, *range(2, self.mean.shape[-1])]
        return np.asarray(self.mean[..., columns] / self.mean[..., 1:2])

    @property
    def ratio_covariance(self) -> Floats:
        """(..., 1 + k, 1 + k) covariance of `ratios`, by the delta method."""
        columns = [0, *range(2, self.mean.shape[-1])]
        ratios, size = self.ratios, self.mean[..., 1]
        inner = self.cov[..., columns, :][..., :, columns]
        with_size = self.cov[..., columns, 1]
        cross = ratios[..., :, None] * with_size[..., None, :]
        own = ratios[..., :, None] * ratios[..., None, :] * self.cov[..., 1, 1][..., None, None]
        of_deviations = inner - cross - np.swapaxes(cross, -1, -2) + own
        alike = ~(np.diagonal(of_deviations, axis1=-2, axis2=-1) > self.rounding * size[..., None] ** 2)
        known = np.isfinite(of_deviations)
        of_deviations = np.where(known & (alike[..., :, None] | alike[..., None, :]), 0.0, of_deviations)
        return np.asarray(of_deviations / (size**2 * self.n)[..., None, None])

    @property
    def rounding(self) -> Floats:
        """(..., 1 + k) variance that units' deviations from `ratios` may seem to have where all of them are 0.

        A sum of n squares is known to n times the precision of a float, and a small difference of such sums no better.
        """
        columns = [0, *range(2, self.mean.shape[-1])]
        squares = self.mean**2 + np.diagonal(self.cov, axis1=-2, axis2=-1)
        of_totals = squares[..., columns] + self.ratios**2 * squares[..., 1:2]
        terms = self.n * np.maximum(self.mean[..., 1], 1.0)
        return np.asarray(_PRECISION * terms[..., None] * of_totals / self.mean[..., 1:2] ** 2)


@dataclass(frozen=True)
class Difference:
    """A variant minus the control.

    Parameters
    ----------
    effect
        (...) difference of the ratios, adjusted by the covariates.
    variance
        (...) of it; NaN or 0 where too little is known.
    unadjusted_variance
        (...) the same without covariates: 1 - variance / unadjusted_variance is what they explain.
    skewness
        (...) of the effect's sampling distribution, as estimated: the normal approximation holds where it is near 0.
    """

    effect: Floats
    variance: Floats
    unadjusted_variance: Floats
    skewness: Floats


def difference(variant: UnitMoments, control: UnitMoments) -> Difference:
    """Return a variant's ratio minus the control's, adjusted by their covariates if they have any.

    The adjustment subtracts what the covariates' own difference, which is chance, explains; its coefficients are those
    that make the variance least (optimal CUPED). Covariates must be known before the variant can act on them.
    """
    between = variant.ratios - control.ratios
    cov = variant.ratio_covariance + control.ratio_covariance
    plain = np.asarray(cov[..., 0, 0])
    skewness = _effect_skewness(variant, control)
    if between.shape[-1] == 1:
        return Difference(np.asarray(between[..., 0]), plain, plain, skewness)
    of_covariates, with_value = cov[..., 1:, 1:], cov[..., 1:, 0]
    usable = np.asarray(np.isfinite(cov).all(axis=(-1, -2)))
    safe = np.where(usable[..., None, None], of_covariates, np.eye(of_covariates.shape[-1]))
    # The pseudo-inverse: a covariate that is constant so far, or a copy of another, explains nothing more.
    theta = (np.linalg.pinv(safe, rcond=1e-10, hermitian=True) @ with_value[..., None])[..., 0]
    theta = np.where(usable[..., None], theta, 0.0)
    effect = between[..., 0] - (theta * between[..., 1:]).sum(axis=-1)
    variance = plain - (theta * with_value).sum(axis=-1)
    # Each coefficient is fitted to the same units: what it explains by chance alone is given back.
    freedom = (variant.n + control.n - 2) / np.maximum(variant.n + control.n - 2 - theta.shape[-1], 1)
    return Difference(np.asarray(effect), np.asarray(np.minimum(variance * freedom, plain)), plain, skewness)


def _effect_skewness(variant: UnitMoments, control: UnitMoments) -> Floats:
    """Return the third cumulant of the difference of the ratios over the cube of its standard error."""
    third = np.zeros(np.shape(variant.n))
    for sign, moments in ((1.0, variant), (-1.0, control)):
        error = np.sqrt(np.maximum(moments.ratio_variance, 0.0))
        third = third + sign * np.nan_to_num(moments.skewness) / np.sqrt(moments.n) * error**3
    total = variant.ratio_variance + control.ratio_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(third / total**1.5)


def _skewness(third: float, second: float) -> Floats:
    return np.asarray(third / second**1.5 if second > 0 else np.nan)
