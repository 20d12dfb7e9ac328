"""Whether an experiment's figures may be believed, and what looking at them carelessly would have told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.experiments.moments import UnitMoments, difference
from beast_ml.experiments.sequential_test import Path

__all__ = ["Novelty", "Peeking", "RatioMismatch", "novelty", "peeking", "ratio_mismatch", "two_sided"]

Floats = NDArray[np.float64]

_PRIOR_UNITS: Final = 100.0
_MISMATCH: Final = 0.001
_FADES: Final = 0.01


@dataclass(frozen=True)
class RatioMismatch:
    """Whether units are divided between the variants as they should be.

    Parameters
    ----------
    p_value
        The smallest that there ever was: valid however often one looks.
    expected, observed
        Shares of the units, by variant.
    """

    p_value: float
    expected: tuple[float, ...]
    observed: tuple[float, ...]

    @property
    def found(self) -> bool:
        """Whether the division is so wrong that no figure of the experiment can be trusted."""
        return self.p_value < _MISMATCH

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "p_value": self.p_value,
            "found": self.found,
            "expected": list(self.expected),
            "observed": list(self.observed),
        }


def ratio_mismatch(variant: NDArray[np.intp], expected: Floats) -> RatioMismatch:
    """Return the sequential test of a sample-ratio mismatch (Lindon, Malek 2022).

    The e-process is the probability of the draws under a Dirichlet mixture about the expected shares over that under
    the expected shares; written draw by draw, so that it also holds where shares change on the way.

    Parameters
    ----------
    variant
        (n,) variant of each unit, in the order in which they first appeared.
    expected
        (k,) shares, or (n, k) where they change; each row is taken relative to its sum. A variant may have had none
        for a time.

    Raises
    ------
    InputError
        If a share is below 0, or a unit is of a variant that had none.

    Examples
    --------
    >>> ratio_mismatch(np.arange(2000) % 2, np.array([0.5, 0.5])).found
    False
    >>> ratio_mismatch((np.arange(2000) % 5 > 1).astype(int), np.array([0.5, 0.5])).found
    True
    """
    shares = np.broadcast_to(expected / expected.sum(axis=-1, keepdims=True), (len(variant), expected.shape[-1]))
    n, k = shares.shape
    if not (shares >= 0).all() or not (shares[np.arange(n), variant] > 0).all():
        raise InputError("an expected share of 0 or less: leave units of variants without a share out of the check")
    if n == 0:
        return RatioMismatch(1.0, tuple(np.ravel(expected).tolist()[-k:]), (0.0,) * k)
    rows = np.arange(n)
    drawn = np.zeros((n, k))
    drawn[rows, variant] = 1.0
    ahead = np.cumsum(drawn - shares, axis=0) - (drawn - shares)  # what came before, beyond what was expected
    # The guess of the next draw leans from the expected share towards what was seen so far; it sums to 1.
    guess = shares + ahead / (rows[:, None] + _PRIOR_UNITS)
    guess = np.maximum(guess, 1e-12)
    guess /= guess.sum(axis=1, keepdims=True)
    evidence = np.cumsum(np.log(guess[rows, variant]) - np.log(shares[rows, variant]))
    p_value = float(min(1.0, np.exp(-max(evidence.max(), 0.0))))
    return RatioMismatch(p_value, tuple(shares.mean(axis=0).tolist()), tuple(drawn.mean(axis=0).tolist()))


@dataclass(frozen=True)
class Peeking:
    """What an ordinary test would have claimed, had one looked as often.

    Parameters
    ----------
    p_value
        Of the fixed-horizon test on all data: right if this was the one look, planned beforehand.
    first_claim
        The first look at which it was below alpha; None if never.
    share_of_looks
        At how many of them it was.
    misleads
        Whether it claimed a difference at some look, and the test that allows for looking never did.
    """

    p_value: float
    first_claim: int | None
    share_of_looks: float
    misleads: bool


def peeking(path: Path, alpha: float, found: bool) -> Peeking:
    """Return what the fixed-horizon test would have claimed at the looks that count."""
    if path.start is None:
        return Peeking(1.0, None, 0.0, False)
    z = np.abs(path.effect[path.start :]) / np.sqrt(path.variance[path.start :])
    claims = z >= NormalDist().inv_cdf(1.0 - alpha / 2.0)
    first = path.start + int(claims.argmax()) if claims.any() else None
    return Peeking(two_sided(float(z[-1])), first, float(claims.mean()), bool(claims.any() and not found))


@dataclass(frozen=True)
class Novelty:
    """The effect in each part of the experiment's time.

    Parameters
    ----------
    effects, errors
        One of each part, in order; NaN where too little was observed.
    p_value
        Of "the first and the last half have the same effect"; for one look.
    """

    effects: tuple[float, ...]
    errors: tuple[float, ...]
    p_value: float

    @property
    def found(self) -> bool:
        """Whether the effect changed with time, so that its mean promises too much or too little."""
        return self.p_value < _FADES


def novelty(
    parts: Sequence[tuple[UnitMoments, UnitMoments]], halves: Sequence[tuple[UnitMoments, UnitMoments]]
) -> Novelty:
    """Return whether an effect fades or grows, from (variant, control) moments of each part and each half of the time.

    A unit that is in both halves makes their effects alike, so that their difference is tested more strictly than it
    need be.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        by_part = [difference(variant, control) for variant, control in parts]
        first, last = (difference(variant, control) for variant, control in halves)
        z = ((last.effect - first.effect) / np.sqrt(last.variance + first.variance)).item()
    p_value = two_sided(z) if np.isfinite(z) else 1.0
    return Novelty(
        tuple(each.effect.item() for each in by_part),
        tuple(float(np.sqrt(np.maximum(each.variance.item(), 0.0))) for each in by_part),
        p_value,
    )


def two_sided(z: float) -> float:
    """Return the two-sided p-value of a standard normal statistic.

    Examples
    --------
    >>> round(two_sided(1.96), 3)
    0.05
    """
    return math.erfc(abs(z) / math.sqrt(2.0))
