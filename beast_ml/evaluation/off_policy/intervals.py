"""Intervals of off-policy estimates: normal, resampled, exact at any size, and one that holds at every look.

Requests of one question are not independent, so all of them take questions as the units: the rounds of a question are
summed first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.confidence_sequence import (
    empirical_bernstein_sequence,
    normal_mixture_radius,
    rho_tightest_at,
)
from beast_ml.evaluation.off_policy.estimators import PerRound
from beast_ml.evaluation.off_policy.rounds import Floats, normal_interval, standard_error

__all__ = [
    "INTERVALS",
    "NOTHING",
    "Interval",
    "IntervalKind",
    "Questions",
    "always_valid",
    "bernstein",
    "bootstrap",
    "normal",
    "resample",
    "simultaneous",
]

IntervalKind = Literal["normal", "bootstrap", "bernstein", "always_valid"]
"""How an interval is made."""

INTERVALS: Final[tuple[IntervalKind, ...]] = get_args(IntervalKind)
"""All of `IntervalKind`."""

Interval = tuple[float, float]
"""Its two ends."""

_ALPHA: Final = 0.05
_LEAST_UNITS: Final = 2
NOTHING: Final[Interval] = (float("-inf"), float("inf"))
"""What is known of a value that nothing speaks of."""

_BATCH: Final = 64
_TIGHTEST_AT: Final = 1_000


@dataclass(frozen=True)
class Questions:
    """Which rounds ask the same.

    Parameters
    ----------
    unit
        (n,) 0 .. k-1, numbered in order of first appearance.
    n_units
        k.
    """

    unit: NDArray[np.intp]
    n_units: int

    @classmethod
    def of(cls, question: NDArray[np.intp]) -> Questions:
        """Return the questions of the rounds, numbered anew."""
        _, first, unit = np.unique(question, return_index=True, return_inverse=True)
        order = np.argsort(np.argsort(first))
        return cls(np.asarray(order[unit], dtype=np.intp), len(first))

    def sums(self, values: Floats) -> Floats:
        """Return (k,) sums over the rounds of each question."""
        return np.bincount(self.unit, values, minlength=self.n_units).astype(np.float64)

    def influence(self, estimate: PerRound) -> Floats:
        """Return (k,) values whose mean is the estimate, one a question, and whose spread is its uncertainty."""
        top, bottom = self.sums(estimate.numerator), self.sums(estimate.denominator)
        return np.asarray(estimate.value + (top - estimate.value * bottom) / bottom.mean())


def normal(estimate: PerRound, questions: Questions) -> Interval:
    """Return the normal interval, its standard error from the spread between questions."""
    values = questions.influence(estimate)
    if len(values) < _LEAST_UNITS or not np.isfinite(values).all():
        return NOTHING
    return normal_interval(estimate.value, standard_error(values))[1:]


def resample(rng: np.random.Generator, n_units: int, n: int) -> Iterator[Floats]:
    """Yield n resamples of units with replacement, some at a time: (b, n_units) how often each was drawn."""
    for start in range(0, n, _BATCH):
        yield rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=min(_BATCH, n - start)).astype(np.float64)


def bootstrap(estimates: Sequence[PerRound], questions: Questions, resamples: Iterable[Floats]) -> list[Interval]:
    """Return bootstrap-t intervals of estimates, paired: all share the resampled questions.

    Each resample gives its estimate and its own standard error, and quantiles of (estimate - value) / error take the
    place of those of the normal (Efron, Tibshirani 1993, section 12.5). Weights are skewed, and this follows the skew,
    which quantiles of the estimates alone do not.

    Parameters
    ----------
    resamples
        Of the questions: see `resample`.
    """
    if questions.n_units < _LEAST_UNITS:
        return [NOTHING] * len(estimates)
    found = _studentise(estimates, questions, resamples)
    return [_studentised(*each) for each in zip(found.value, found.error, found.resampled.T, strict=True)]


def simultaneous(
    estimates: Sequence[PerRound], questions: Questions, resamples: Iterable[Floats], counted: NDArray[np.bool_]
) -> list[Interval]:
    """Return intervals that hold for all estimates at once, so that one may choose among them afterwards.

    As `bootstrap`, with quantiles of the largest and of the smallest studentised error of a resample in place of each
    estimate's own (Westfall, Young 1993): the correction knows how much the estimates have in common.

    Parameters
    ----------
    counted
        (k,) which of the estimates may be chosen; the others get intervals of their own, as `bootstrap` makes them.
    """
    if questions.n_units < _LEAST_UNITS:
        return [NOTHING] * len(estimates)
    found = _studentise(estimates, questions, resamples)
    family = counted & (found.error > 0) & np.isfinite(found.value)
    t = found.resampled[:, family]
    known = np.isfinite(t)
    shared = np.stack(
        [
            np.where(known, t, -np.inf).max(axis=1, initial=-np.inf),
            np.where(known, t, np.inf).min(axis=1, initial=np.inf),
        ]
    )
    highest, lowest = (each[np.isfinite(each)] for each in shared)
    own = [_studentised(*each) for each in zip(found.value, found.error, found.resampled.T, strict=True)]
    if not len(highest):
        return own
    high, low = float(np.quantile(highest, 1 - _ALPHA / 2)), float(np.quantile(lowest, _ALPHA / 2))
    together = zip(found.value - high * found.error, found.value - low * found.error, strict=True)
    return [(float(a), float(b)) if family[j] else own[j] for j, (a, b) in enumerate(together)]


@dataclass(frozen=True)
class _Studentised:
    """Estimates, their standard errors, and their studentised errors on resamples.

    Parameters
    ----------
    value, error
        (k,) each.
    resampled
        (b, k) (estimate - value) / error of each resample; not finite where a resample says nothing.
    """

    value: Floats
    error: Floats
    resampled: Floats


def _studentise(estimates: Sequence[PerRound], questions: Questions, resamples: Iterable[Floats]) -> _Studentised:
    """Return the estimates on the resampled questions, which all of them share."""
    top = np.stack([questions.sums(each.numerator) for each in estimates], axis=1)
    bottom = np.stack([questions.sums(each.denominator) for each in estimates], axis=1)
    moments = np.hstack([top, bottom, top**2, top * bottom, bottom**2])
    resampled = np.vstack([counts @ moments for counts in resamples])
    a, b, aa, ab, bb = np.split(resampled, 5, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # an estimate may not be defined, here or on a resample
        value = top.sum(axis=0) / bottom.sum(axis=0)
        own = np.sqrt(((top - value * bottom) ** 2).sum(axis=0)) / bottom.sum(axis=0)
        again = a / b
        error = np.sqrt(np.maximum(aa - 2 * again * ab + again**2 * bb, 0.0)) / b
        studentised = (again - value) / error
    return _Studentised(value, own, studentised)


def _studentised(value: float, error: float, t: Floats) -> Interval:
    if not np.isfinite(value):
        return NOTHING
    if error == 0.0:
        return float(value), float(value)
    t = t[np.isfinite(t)]
    low, high = np.quantile(t, [_ALPHA / 2, 1 - _ALPHA / 2]) if len(t) else (-np.inf, np.inf)
    return float(value - high * error), float(value - low * error)


def bernstein(estimate: PerRound, questions: Questions, low: float, high: float) -> Interval:
    """Return an interval that holds whatever the sample size, for per-round values that cannot leave [low, high].

    Exact where no question is asked twice and the estimate is a plain mean; an approximation else.
    """
    values = questions.influence(estimate)
    if len(values) < _LEAST_UNITS or not np.isfinite(values).all() or not low < high:
        return NOTHING
    low, high = min(low, float(values.min())), max(high, float(values.max()))
    bounds = empirical_bernstein_sequence(values, low, high, _ALPHA, tightest_at=len(values))
    return float(bounds.low[-1]), float(bounds.high[-1])


def always_valid(estimate: PerRound, questions: Questions) -> Interval:
    """Return the interval that may be looked at after every new question, tightest at a thousand of them.

    Asymptotic; see `beast_ml.evaluation.confidence_sequence`. Where it is tightest is the same at every look: chosen by
    how many questions there are by now, it would be another sequence each time, and would promise nothing.
    """
    values = questions.influence(estimate)
    k = len(values)
    if k < _LEAST_UNITS or not np.isfinite(values).all():
        return NOTHING
    radius = float(normal_mixture_radius(k, values.var(ddof=1), rho_tightest_at(_TIGHTEST_AT), _ALPHA))
    return estimate.value - radius, estimate.value + radius
