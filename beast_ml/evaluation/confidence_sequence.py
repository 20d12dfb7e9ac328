"""Confidence sequences: intervals that hold at every sample size at once, so that looking at any time is fine.

An ordinary 95% interval is right at one sample size, chosen before the data came. Who looks daily and stops when it
excludes zero is wrong far oftener than 5%. A confidence sequence contains the mean at all sample sizes together with
the stated probability, however often one looks and whatever makes one stop. It is wider for that.

Two of them:

- `normal_mixture_radius`: asymptotic, for means of anything with a finite variance, tight. Robbins (1970) for normal
  data; Johari, Pekelis, Walsh (2015) for experiments (mixture sequential probability ratio test); Waudby-Smith, Arbour,
  Sinha, Kennedy, Ramdas (2021), theorem 2.2, for estimated variances. Don't look before
  about 100 values. Of 2,000 sequences of 3,000 values, tightest at 500 and looked at after every value from the 100th
  on, 3.9% (coins), 3.6% (normal) and 5.2% (log-normal) ever exclude the mean; from the 20th on 5.1%, 4.0% and 7.8%.
- `empirical_bernstein_sequence`: exact at every sample size, for values in a known range, wider. Waudby-Smith, Ramdas
  (2024), "Estimating means of bounded random variables by betting", theorem 2 (predictable plug-in).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beast_ml.errors import InputError

__all__ = [
    "EmpiricalBernstein",
    "always_valid_p_value",
    "empirical_bernstein_sequence",
    "normal_mixture_radius",
    "rho_tightest_at",
]

Floats = NDArray[np.float64]

_FIXED_POINT_STEPS: Final = 60
_GREATEST_BET: Final = 0.5


def rho_tightest_at(n: float, alpha: float = 0.05) -> float:
    """Return the mixture's `rho` with which the normal-mixture sequence is tightest at n values.

    It minimises the radius over rho: u = n rho^2 solves u - log(1 + u) = -2 log(alpha).

    Parameters
    ----------
    n
        The sample size at which one most hopes to decide. A wrong guess costs width, never validity; it must be
        made without looking at the values.
    alpha
        One minus the probability that the sequence always contains the mean.

    Examples
    --------
    >>> round(rho_tightest_at(1000, alpha=0.05), 4)
    0.0906
    """
    _check_alpha(alpha)
    if not n > 0:
        raise InputError(f"a confidence sequence tightest at n = {n}: must be above 0")
    constant = -2.0 * math.log(alpha)
    u = constant
    for _ in range(_FIXED_POINT_STEPS):  # a contraction: its slope is 1 / (1 + u) < 1
        u = constant + math.log1p(u)
    return math.sqrt(u / n)


def normal_mixture_radius(n: ArrayLike, variance: ArrayLike, rho: float, alpha: float = 0.05) -> Floats:
    """Return the radius about the mean of n values with which it is covered at all n at once.

    Parameters
    ----------
    n
        Numbers of values so far, of any shape; 0 gives an infinite radius.
    variance
        Of one value, as estimated from them; broadcast against n. An estimate of 0, as of a few equal values, gives a
        radius of 0: don't look so early.
    rho
        The mixture's width, fixed beforehand: see `rho_tightest_at`.
    alpha
        One minus the probability that the sequence always contains the mean.

    Examples
    --------
    >>> rho = rho_tightest_at(1000)
    >>> normal_mixture_radius([100, 1000, 10_000], 0.25, rho).round(4)
    array([0.1912, 0.048 , 0.0162])

    An ordinary 95% interval of 1,000 such values has radius 0.031.
    """
    _check_alpha(alpha)
    _check_rho(rho)
    count = np.asarray(n, dtype=float)
    spread = count * rho**2
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (spread + 1.0) / (count * spread) * (np.log1p(spread) - 2.0 * math.log(alpha))
        return np.where(count > 0, np.sqrt(np.asarray(variance, dtype=float) * scaled), np.inf)


def always_valid_p_value(estimate: ArrayLike, n: ArrayLike, variance: ArrayLike, rho: float) -> Floats:
    """Return the p-value, valid whenever one looks, of "the mean is 0": the alpha whose sequence just touches 0.

    Along a sequence of looks the smallest so far (``np.minimum.accumulate``) is valid, too.

    Parameters
    ----------
    estimate
        Means of the n values so far; to test another value than 0, subtract it.
    n, variance, rho
        As of `normal_mixture_radius`.

    Examples
    --------
    >>> rho = rho_tightest_at(1000)
    >>> always_valid_p_value([0.02, 0.048, 0.1], 1000, 0.25, rho).round(3)
    array([1.  , 0.05, 0.  ])
    """
    _check_rho(rho)
    mean, count = np.asarray(estimate, dtype=float), np.asarray(n, dtype=float)
    spread = count * rho**2
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = mean**2 / np.asarray(variance, dtype=float)
        evidence = np.where((mean == 0.0) | (count == 0), 0.0, squared * count * spread / (spread + 1.0))
    return np.minimum(1.0, np.exp(0.5 * (np.log1p(spread) - evidence)))


@dataclass(frozen=True)
class EmpiricalBernstein:
    """Lower and upper bounds of the mean after each value.

    Parameters
    ----------
    low, high
        Shaped as the values; entry i holds after i + 1 values of its row.
    """

    low: Floats
    high: Floats


def empirical_bernstein_sequence(
    values: ArrayLike, low: float, high: float, alpha: float = 0.05, tightest_at: int | None = None
) -> EmpiricalBernstein:
    """Return a confidence sequence of the mean of values in [low, high], exact at every sample size.

    Parameters
    ----------
    values
        (..., n) in the order in which they came, each row a sequence of its own.
    low, high
        The range that no value can leave, known beforehand (not read from the values).
    alpha
        One minus the probability that the sequence always contains the mean.
    tightest_at
        The sample size for which it is tuned; None spreads its effort over all.

    Raises
    ------
    InputError
        If a value is outside the range or the range is empty.

    Examples
    --------
    >>> heads = np.random.default_rng(0).random(2000) < 0.3
    >>> bounds = empirical_bernstein_sequence(heads, 0.0, 1.0, tightest_at=2000)
    >>> bool(bounds.low[-1] < 0.3 < bounds.high[-1]), round(float(bounds.high[-1] - bounds.low[-1]), 3)
    (True, 0.059)
    """
    _check_alpha(alpha)
    if not low < high:
        raise InputError(f"a range of values from {low} to {high}: the second must be above the first")
    raw = np.asarray(values, dtype=float)
    if raw.size and not (low <= raw.min() and raw.max() <= high):
        raise InputError(
            f"values from {raw.min():g} to {raw.max():g} where the range is said to be {low:g} to {high:g}: "
            "give the range that no value can leave"
        )
    x = (raw - low) / (high - low)
    n = np.arange(1, x.shape[-1] + 1)
    mean = (0.5 + np.cumsum(x, axis=-1)) / (n + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2, axis=-1)) / (n + 1)
    # What is bet on a value, and the guess it is compared with, may depend on earlier values only.
    guess, known_variance = _shifted(mean, 0.5), _shifted(variance, 0.25)
    effort = n * np.log1p(n) if tightest_at is None else float(tightest_at)
    threshold = math.log(2.0 / alpha)
    bet = np.minimum(np.sqrt(2.0 * threshold / (known_variance * effort)), _GREATEST_BET)
    total = np.cumsum(bet, axis=-1)
    centre = np.cumsum(bet * x, axis=-1) / total
    spent = np.cumsum((x - guess) ** 2 * (-np.log1p(-bet) - bet), axis=-1)
    radius = (threshold + spent) / total
    width = high - low
    return EmpiricalBernstein(
        low=low + width * np.maximum(centre - radius, 0.0), high=low + width * np.minimum(centre + radius, 1.0)
    )


def _shifted(x: Floats, first: float) -> Floats:
    """Return what was known before each value: the entry before it, a fixed one at first."""
    before = np.empty_like(x)
    before[..., :1], before[..., 1:] = first, x[..., :-1]
    return before


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"an alpha of {alpha}, must be between 0 and 1: 0.05 for 95% intervals")


def _check_rho(rho: float) -> None:
    if not (rho > 0 and math.isfinite(rho)):
        raise InputError(f"a rho of {rho}, must be above 0 and finite: see rho_tightest_at")
