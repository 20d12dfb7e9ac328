"""How large an experiment must be, or what it can see: for one planned look, and for looking all the time.

For one look, the textbook's sample size. For the always-valid test, the time at which it ends is random; it is drawn
from the limit that both share, Brownian motion with drift, once for all designs: in units of the fixed-horizon size
its distribution depends on alpha and power alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.evaluation.confidence_sequence import normal_mixture_radius, rho_tightest_at

__all__ = ["Design", "SequentialSize", "design_for_effect", "design_for_units", "sequential_size"]

Floats = NDArray[np.float64]

_PATHS: Final = 4_000
_STEPS: Final = 1_000
_LONGEST: Final = 6.0  # fixed-horizon sizes
_SEED: Final = 0


@dataclass(frozen=True)
class SequentialSize:
    """An always-valid test beside the fixed-horizon test of the same level and power, in multiples of its size.

    Parameters
    ----------
    most
        Where it may be given up: by then it has found the effect with the wanted power.
    mean_at_effect, mean_at_twice
        Where it ends on average if the effect is as assumed, or twice as large.
    """

    most: float
    mean_at_effect: float
    mean_at_twice: float


@dataclass(frozen=True)
class Design:
    """What an experiment takes.

    Parameters
    ----------
    effect
        Smallest effect to be found (MDE), in units of the metric.
    standard_deviation
        Of a unit's value; with covariates, what they leave of it.
    alpha, power
        Of each comparison, after what several variants cost.
    shares
        Of the units, control first.
    n_fixed
        Units in all, of all variants, for one look at the end.
    n_most, n_mean, n_mean_at_twice
        The same for the always-valid test: see `SequentialSize`.
    units_per_day
        That take part; None: not said.
    """

    effect: float
    standard_deviation: float
    alpha: float
    power: float
    shares: tuple[float, ...]
    n_fixed: int
    n_most: int
    n_mean: int
    n_mean_at_twice: int
    units_per_day: float | None = None

    @property
    def planned_units(self) -> int:
        """Units of a variant and the control together: what the test is to be tuned for."""
        return max(2, round(self.n_fixed * (self.shares[0] + min(self.shares[1:])) / sum(self.shares)))

    def days(self, units: int) -> float | None:
        """Return how long so many units take."""
        return None if not self.units_per_day else units / self.units_per_day

    def to_dict(self) -> dict[str, Any]:
        """Return the design for a report."""
        sizes = {"fixed": self.n_fixed, "most": self.n_most, "mean": self.n_mean, "mean_at_twice": self.n_mean_at_twice}
        return asdict(self) | {
            "planned_units": self.planned_units,
            "days": {name: self.days(units) for name, units in sizes.items()},
        }


def design_for_effect(
    effect: float,
    standard_deviation: float,
    shares: tuple[float, ...] = (0.5, 0.5),
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    units_per_day: float | None = None,
) -> Design:
    """Return how many units it takes to find an effect.

    Parameters
    ----------
    effect
        In units of the metric.
    standard_deviation
        Of a unit's value.
    shares
        Of the units, the control's first. Of more than two, the smallest variant decides, and alpha is divided by
        their number (as Holm's procedure does at worst).
    alpha, power
        Probability of a claim where there is no effect, and where there is this one.
    units_per_day
        That take part, in all variants together.

    Raises
    ------
    InputError
        If a number cannot be.

    Examples
    --------
    >>> design_for_effect(0.1, 1.0).n_fixed  # the textbook's 2 x 1,570
    3140
    """
    _check(standard_deviation, shares, alpha, power, units_per_day)
    if not (effect != 0 and math.isfinite(effect)):
        raise InputError(f"`effect` == {effect}, must not be 0: the smallest one that matters")
    each_alpha = alpha / (len(shares) - 1)
    n_fixed = _per_effect(standard_deviation, shares) * _noncentrality(each_alpha, power) / effect**2
    return _designed(abs(effect), standard_deviation, shares, each_alpha, power, n_fixed, units_per_day)


def design_for_units(
    n_units: int,
    standard_deviation: float,
    shares: tuple[float, ...] = (0.5, 0.5),
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    units_per_day: float | None = None,
) -> Design:
    """Return what effect so many units find, all variants together, when they are looked at once, at the end."""
    _check(standard_deviation, shares, alpha, power, units_per_day)
    if n_units < 2:
        raise InputError(f"`n_units` == {n_units}, must be at least 2")
    each_alpha = alpha / (len(shares) - 1)
    effect = math.sqrt(_per_effect(standard_deviation, shares) * _noncentrality(each_alpha, power) / n_units)
    return _designed(effect, standard_deviation, shares, each_alpha, power, n_units, units_per_day)


@lru_cache(maxsize=32)
def sequential_size(alpha: float, power: float) -> SequentialSize:
    """Return where the always-valid test ends, in multiples of the fixed-horizon size; drawn with a fixed seed."""
    rng = np.random.default_rng(_SEED)
    drift = math.sqrt(_noncentrality(alpha, power))  # of the effect at one fixed-horizon size
    steps = np.diff(np.concatenate([[0.0], _clock()]))
    noise = rng.standard_normal((_PATHS, _STEPS)) * np.sqrt(steps)
    walk = np.cumsum(noise, axis=1)
    clock = _clock()
    boundary = clock * normal_mixture_radius(clock, 1.0, rho_tightest_at(1.0, alpha), alpha)

    def ends(effect: float) -> Floats:
        crossed = np.abs(walk + effect * clock) >= boundary
        return np.where(crossed.any(axis=1), clock[crossed.argmax(axis=1)], np.inf)

    once, twice = ends(drift), ends(2.0 * drift)
    most = float(np.quantile(once, power, method="higher"))
    return SequentialSize(most, float(np.minimum(once, most).mean()), float(np.minimum(twice, most).mean()))


def _clock() -> Floats:
    return np.asarray(np.linspace(_LONGEST / _STEPS, _LONGEST, _STEPS))


def _designed(
    effect: float,
    standard_deviation: float,
    shares: tuple[float, ...],
    alpha: float,
    power: float,
    n_fixed: float,
    units_per_day: float | None,
) -> Design:
    size = sequential_size(alpha, power)
    return Design(
        effect,
        standard_deviation,
        alpha,
        power,
        shares,
        math.ceil(n_fixed),
        math.ceil(n_fixed * size.most),
        math.ceil(n_fixed * size.mean_at_effect),
        math.ceil(n_fixed * size.mean_at_twice),
        units_per_day,
    )


def _per_effect(standard_deviation: float, shares: tuple[float, ...]) -> float:
    """Return the variance of an effect times the number of units in all."""
    total = sum(shares)
    return standard_deviation**2 * total * (1.0 / shares[0] + 1.0 / min(shares[1:]))


def _noncentrality(alpha: float, power: float) -> float:
    normal = NormalDist()
    return (normal.inv_cdf(1.0 - alpha / 2.0) + normal.inv_cdf(power)) ** 2


def _check(
    standard_deviation: float, shares: tuple[float, ...], alpha: float, power: float, units_per_day: float | None
) -> None:
    if not (standard_deviation > 0 and math.isfinite(standard_deviation)):
        raise InputError(f"`standard_deviation` == {standard_deviation}, must be above 0")
    if len(shares) < 2 or not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise InputError(f"`shares` == {shares}, must be at least two, each above 0, at most 1 together")
    if not 0.0 < alpha < 1.0:
        raise InputError(f"`alpha` == {alpha}, must be between 0 and 1")
    if not alpha < power < 1.0:
        raise InputError(f"`power` == {power}, must be between alpha and 1: 0.8, say")
    if units_per_day is not None and not units_per_day > 0:
        raise InputError(f"`units_per_day` == {units_per_day}, must be above 0")
