"""Two policies on live units: how they differ, in an interval that holds however often one looks.

Where both decide a request alike, who serves it makes no difference: its outcome says nothing of theirs, and is noise.
`telling` takes it out. How alike they decide is known before anyone answers, so nothing is biased by it.

Policies that explore decide alike in part: a model that one chooses with probability p and the other with q is, in a
share min(p, q) of the draws, what both would have taken. What is left of an outcome is the share of its choice that was
not the other's, 1 - q / p where q < p: then the two sides differ by sum (p - q) x quality, which is the effect.
That is right only where both policies are known as they served. Were it one of them alone, the other's outcomes would
stand against nothing but what was expected of them: so `told_apart` looks whether the log agrees.

Analyses of experiments (`beast_ml.experiments.sequential_test`) follow every look from the first on and mend
skewness. The loop looks once an hour at means of a hundred units and more, of quality in 0..1, and
keeps no earlier looks.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.confidence_sequence import normal_mixture_radius, rho_tightest_at
from beast_ml.operations.learning_loop.surroundings import Compared

__all__ = ["compare_units", "share_apart", "telling", "told_apart"]

Floats = NDArray[np.float64]

_LEAST_UNITS: Final = 100
"""Units of each side before anything is claimed: sequences for means are asymptotic."""

_TIGHTEST_AT: Final = 500.0
_ALIKE: Final = 0.01
_MOST_UNLIKE: Final = 0.01
"""Share of a side's choices that may have been made otherwise than its policy is thought to decide."""


def share_apart(own: Floats, other: Floats, logged: Floats) -> Floats:
    """Return the (n,) share of each choice that could not have been the other policy's.

    Parameters
    ----------
    own, other
        (n,) probability of the choice under the policy that made it, and under the other one.
    logged
        (n,) propensity in the log. Where it is not what the policy is thought to have done, as under constraints of the
        request, nothing is known to be alike, and all of the choice counts.

    Examples
    --------
    >>> own, other = np.array([0.9, 0.1, 1.0, 0.9]), np.array([0.6, 0.4, 0.0, 0.6])
    >>> share_apart(own, other, logged=np.array([0.9, 0.1, 1.0, 1.0])).round(2).tolist()
    [0.33, 0.0, 1.0, 1.0]
    """
    known = _is_known(own, logged)
    return np.where(known, np.maximum(1.0 - other / np.where(known, own, 1.0), 0.0), 1.0)


def told_apart(
    own: Floats, other: Floats, logged: Floats, by_candidate: NDArray[np.bool_], differ: NDArray[np.bool_]
) -> Floats:
    """Return the (n,) share of each choice that counts: `share_apart`, if the log agrees with what is thought of both.

    Else, as where a policy goes by a history that has moved on since, or under constraints, requests count in full on
    which the two are thought to differ, and the others not at all. That goes by nothing but the request, which is drawn
    alike for both sides: it may miss a difference, but makes none up.

    Parameters
    ----------
    own, other, logged
        As of `share_apart`.
    by_candidate
        (n,) which side each choice is of.
    differ
        (n,) whether the two are thought to decide a request differently, whoever did.
    """
    unlike = ~_is_known(own, logged)
    sides = [unlike[side] for side in (by_candidate, ~by_candidate) if side.any()]
    if any(side.mean() > _MOST_UNLIKE for side in sides):
        return differ.astype(np.float64)
    return share_apart(own, other, logged)


def _is_known(own: Floats, logged: Floats) -> NDArray[np.bool_]:
    return np.asarray((own > 0.0) & np.isclose(own, logged, rtol=_ALIKE, atol=0.0))


def telling(outcome: Floats, expected: float | Floats, apart: Floats | NDArray[np.bool_]) -> Floats:
    """Return what outcomes tell of the difference of two policies: zero where these decide alike.

    Parameters
    ----------
    outcome
        (n,) of requests, whoever served them.
    expected
        What was expected of them before, without regard to who serves; it takes noise out and changes no effect.
    apart
        (n,) `share_apart`; for policies that do not explore, whether the two would have decided differently.

    Examples
    --------
    >>> telling(np.array([1.0, 0.0, 1.0]), 0.5, np.array([True, True, False])).tolist()
    [0.5, -0.5, 0.0]
    """
    return np.where(apart > 0, apart * (outcome - expected), 0.0)


def compare_units(candidate: Floats, other: Floats, harm: str | None = None) -> Compared:
    """Return candidate minus other, from one value a unit, with a 95% confidence sequence.

    Two means of independent units differ as one mean of n1 n2 / (n1 + n2) values of their pooled variance does.

    Parameters
    ----------
    candidate, other
        Means of the units' outcomes.
    harm
        A guardrail that is broken, in words.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> told = compare_units(rng.normal(0.7, 0.4, 2_000), rng.normal(0.6, 0.4, 2_000))
    >>> 0.0 < told.low < 0.1 < told.high
    True
    """
    n, m = len(candidate), len(other)
    if min(n, m) == 0:
        return Compared(n, m, 0.0, -math.inf, math.inf, harm)
    effect = float(candidate.mean() - other.mean())
    if min(n, m) < _LEAST_UNITS:
        return Compared(n, m, effect, -math.inf, math.inf, harm)
    units = n * m / (n + m)
    variance = (float(candidate.var(ddof=1)) / n + float(other.var(ddof=1)) / m) * units
    radius = float(normal_mixture_radius(units, variance, rho_tightest_at(_TIGHTEST_AT)))
    return Compared(n, m, effect, effect - radius, effect + radius, harm)
