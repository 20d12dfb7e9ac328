"""A variant against the control at every look: an effect, an interval and a p-value that hold however often one looks.

The statistic is a mean's in large samples, so the sequence is the normal mixture of
`beast_ml.evaluation.confidence_sequence`, run in the clock of information (1 / variance of the effect) rather than of
observations. With units that are observed again and again the effect's increments are not independent; but if what a
unit does later is not negatively correlated with what it did before, its path is correlated with itself more strongly
than Brownian motion is at the same variances, and by Slepian's lemma crosses any boundary less often: the sequence is
then conservative.

Normality is not there from the first unit on. Looks count from the moment at which each side has some dozens of units
and the estimated skewness of the effect, and what each side adds to it, is small (after Cochran's rule, n > 25
skewness^2): 30 units for normal values, a dozen or two events for rare ones, more where few huge values rule. Until
then nothing is claimed. What skewness is left, Hall's transformation (1992, "On the removal of skewness by
transformation") takes out of the studentised effect: without it a small share of skewed costs was found different too
often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.evaluation.confidence_sequence import always_valid_p_value, normal_mixture_radius, rho_tightest_at
from beast_ml.experiments.moments import UnitMoments, difference

__all__ = ["Path", "SequentialConfig", "follow"]

Floats = NDArray[np.float64]

_LEAST_UNITS: Final = 30
_MOST_SKEWNESS: Final = 0.2
_MOST_SKEWNESS_OF_A_SIDE: Final = 0.25
_MOST_CORRECTED: Final = 0.5
_NO_SKEWNESS: Final = 1e-9
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class SequentialConfig:
    """How a test looks.

    Parameters
    ----------
    alpha
        Probability of ever claiming a difference where there is none.
    planned_units
        Units of both sides together at which the interval is to be tightest. A wrong guess costs width, never
        validity; it must not be made from the outcomes.

    Raises
    ------
    InputError
        If one of them cannot be.
    """

    alpha: float = 0.05
    planned_units: int = 2_000

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"`alpha` == {self.alpha}, must be between 0 and 1: 0.05 for 95% intervals")
        if self.planned_units < 2:
            raise InputError(f"`planned_units` == {self.planned_units}, must be at least 2")


@dataclass(frozen=True)
class Path:
    """A comparison over t looks.

    Parameters
    ----------
    effect
        (t,) variant minus control; NaN before both have a unit.
    variance, unadjusted_variance
        (t,) of the effect, and without covariates.
    skewness
        (t,) of it.
    p_value
        (t,) each valid at a moment chosen by whatever was seen; 1 before the looks count.
    start
        The first look that counts; None where none does yet.
    rho, scale
        Width of the mixture, and the variance of one observation that it is measured by.
    """

    effect: Floats
    variance: Floats
    unadjusted_variance: Floats
    skewness: Floats
    p_value: Floats
    start: int | None
    rho: float
    scale: float

    def interval(self, alpha: float) -> tuple[Floats, Floats]:
        """Return (t,) lower and upper bounds of the confidence sequence; infinite before the looks count."""
        low, high = np.full(len(self.effect), -np.inf), np.full(len(self.effect), np.inf)
        if self.start is not None:
            later = slice(self.start, None)
            error, skewness = np.sqrt(self.variance[later]), self.skewness[later]
            radius = normal_mixture_radius(self.scale / self.variance[later], self.scale, self.rho, alpha) / error
            low[later] = self.effect[later] - error * _as_studentised(radius, skewness)
            high[later] = self.effect[later] - error * _as_studentised(-radius, skewness)
        return low, high


def follow(variant: UnitMoments, control: UnitMoments, config: SequentialConfig) -> Path:
    """Return how a comparison stood at each look.

    Parameters
    ----------
    variant, control
        What was known of each at the same looks.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        compared = difference(variant, control)
        common, third = _together(variant, control)
        # Units that are all alike so far, as before the first error, differ in how they were summed up, and no more.
        seen = common > np.maximum(variant.rounding, control.rounding)[..., 0]
        ready = _ready(variant, control, common, third) & seen
        # Two sides that are each all alike, but differ, show no spread of their own: take that of all together.
        of_all = common * (1.0 / variant.n + 1.0 / control.n)
        alike = ~(compared.variance > _ROUNDING * of_all)
        squared_error = np.where(alike, of_all, compared.variance)
    rho = rho_tightest_at(config.planned_units / 4.0, config.alpha)  # n_1 n_0 / (n_1 + n_0) of two equal halves
    p_value = np.ones(len(compared.effect))
    if not ready.any():
        return Path(
            compared.effect,
            compared.variance,
            compared.unadjusted_variance,
            compared.skewness,
            p_value,
            None,
            rho,
            math.nan,
        )
    start = int(ready.argmax())
    units = 1.0 / (1.0 / variant.n[start] + 1.0 / control.n[start])
    scale = float(squared_error[start] * units)
    least = np.finfo(float).tiny
    variance = np.maximum(np.nan_to_num(squared_error, nan=least), least)
    skewness = np.clip(np.nan_to_num(compared.skewness), -_MOST_CORRECTED, _MOST_CORRECTED)
    error = np.sqrt(variance[start:])
    normal = _as_normal(compared.effect[start:] / error, skewness[start:])
    p_value[start:] = always_valid_p_value(normal * error, scale / variance[start:], scale, rho)
    return Path(compared.effect, variance, compared.unadjusted_variance, skewness, p_value, start, rho, scale)


def _as_normal(studentised: Floats, skewness: Floats) -> Floats:
    """Return Hall's transformation of a studentised mean: increasing, and nearer to normal."""
    a = np.where(np.abs(skewness) < _NO_SKEWNESS, 1.0, skewness)
    mended = ((1.0 + a * studentised / 3.0) ** 3 - 1.0) / a + a / 6.0
    return np.where(np.abs(skewness) < _NO_SKEWNESS, studentised, mended)


def _as_studentised(normal: Floats, skewness: Floats) -> Floats:
    """Return what `_as_normal` makes this of."""
    a = np.where(np.abs(skewness) < _NO_SKEWNESS, 1.0, skewness)
    back = 3.0 * (np.cbrt(1.0 + a * (normal - a / 6.0)) - 1.0) / a
    return np.where(np.abs(skewness) < _NO_SKEWNESS, normal, back)


def _ready(variant: UnitMoments, control: UnitMoments, common: Floats, third: Floats) -> NDArray[np.bool_]:
    """Return at which looks the means are near enough to normal, if the variants do not differ.

    A side may not have seen the tail yet that the other one has, and then looks too sure: so it is judged by the spread
    and the skewness of all units together, unless its own are larger. If the variants do differ, all together spread
    the more, and what is plain to see is not waited for.
    """
    sides = (variant, control)
    spread = [_spread(side) for side in sides]
    own = [np.nan_to_num(side.skewness) * v**1.5 for side, v in zip(sides, spread, strict=True)]
    squared_errors = [np.maximum(v, common) / side.n for v, side in zip(spread, sides, strict=True)]
    total = squared_errors[0] + squared_errors[1]
    enough = np.minimum(variant.n, control.n) >= _LEAST_UNITS
    for side, error, cubed in zip(sides, squared_errors, own, strict=True):
        seen = np.maximum(np.abs(cubed), np.abs(third)) / common**1.5
        enough &= seen / np.sqrt(side.n) * (error / total) ** 1.5 <= _MOST_SKEWNESS_OF_A_SIDE
    of_effect = own[0] / variant.n**2.0 - own[1] / control.n**2.0
    return np.asarray(enough & (np.abs(of_effect) <= _MOST_SKEWNESS * total**1.5))


def _together(variant: UnitMoments, control: UnitMoments) -> tuple[Floats, Floats]:
    """Return the second and third central moments of all units' ratios about their common mean."""
    units = variant.n + control.n
    mean = (variant.ratio * variant.n + control.ratio * control.n) / units
    second, third = np.zeros(len(units)), np.zeros(len(units))
    for side in (variant, control):
        v, off = _spread(side), side.ratio - mean
        second = second + side.n / units * (v + off**2)
        third = third + side.n / units * (np.nan_to_num(side.skewness) * v**1.5 + 3.0 * v * off + off**3)
    return second, third


def _spread(side: UnitMoments) -> Floats:
    return np.asarray(np.nan_to_num(np.maximum(side.ratio_variance, 0.0)) * side.n)
