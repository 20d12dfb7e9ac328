"""Explore by what is not known: whom to try, how often, and at what expected price, with exact propensities.

Each candidate's utility is a normal distribution: its prediction, and how well the log that the router learnt from
knows it (`beast_ml.predictors.pessimism`). A candidate is tried as often as it is the best by these distributions,
which is what Thompson sampling does; but the probability is computed, not sampled, so it is the propensity. What is
well known is hardly tried: exploring fades by itself as evidence grows, request by request and model by model. Where
all that would cost more than is allowed, it is scaled down for that request alone, so that the probabilities depend on
nothing but the request.

Inverse-gap weighting (SquareCB; Foster and Rakhlin 2020) has exact propensities too, but goes by the gap alone: it
tries a model that is known to be a little worse for ever.
"""

from __future__ import annotations

from math import inf, isfinite, pi, sqrt
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats

__all__ = ["Exploration", "expected_best", "explore", "probability_of_best"]

_REACH: Final = 3.5
"""Standard deviations beyond which nothing is believed."""

_CELLS: Final = 24
_STEPS: Final = np.linspace(0.0, 1.0, _CELLS + 1)
_LEAST: Final = 1e-9
_PAGE: Final = sqrt(2.0 / pi)
_BLOCK: Final = 256
_MIN_PROPENSITY: Final = 1e-4


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What exploring may cost. Every bound holds for each request, by the router's own predictions.

    Parameters
    ----------
    max_loss
        Expected quality given up, costs counted at the willingness to pay: the probability of each candidate that is
        tried, times how much less it is expected to be worth than the router's choice. At most 1.
    max_extra_cost_usd
        The same of costs: expected USD beyond what the router's choice costs; None: no bound.
    max_rate
        Probability that anything but the router's choice is taken.
    min_propensity
        A candidate that would be tried more rarely is not tried at all, so that no off-policy weight is above
        1 / this; at least 0.0001.

    Raises
    ------
    InputError
        If one of them is out of its range.
    """

    max_loss: float
    max_extra_cost_usd: float | None = None
    max_rate: float = 0.2
    min_propensity: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.max_loss <= 1.0:
            raise InputError(f"`max_loss` == {self.max_loss}, must be above 0 and at most 1, in units of quality")
        extra = self.max_extra_cost_usd
        if extra is not None and not (isfinite(extra) and extra >= 0.0):
            raise InputError(f"`max_extra_cost_usd` == {extra}, must be 0 or more, or left out for no bound")
        if not _MIN_PROPENSITY <= self.min_propensity <= 0.5:
            raise InputError(f"`min_propensity` == {self.min_propensity}, must be in {_MIN_PROPENSITY:g}..0.5")
        if not self.min_propensity <= self.max_rate <= 1.0 - self.min_propensity:
            raise InputError(
                f"`max_rate` == {self.max_rate}, must be in {self.min_propensity:g}..{1.0 - self.min_propensity:g}: "
                "`min_propensity` holds for whoever is tried, and for the router's choice"
            )


def explore(
    how: Exploration,
    mean: Floats,
    width: Floats,
    chosen: NDArray[np.intp],
    allowed: NDArray[np.bool_] | None = None,
    cost_usd: Floats | None = None,
    worth: float = 1.0,
) -> list[tuple[tuple[int, float], ...]]:
    """Return, for each of n requests, who is tried beside the router's choice, and how probably; the likeliest first.

    Candidates are taken in the order of their probability of being the best, as many as can be tried within the
    bounds and at `Exploration.min_propensity` each; those probabilities are scaled to the bounds together.

    Parameters
    ----------
    how
        The bounds.
    mean, width
        (n, m) expected utility, and its standard deviation.
    chosen
        (n,) the router's choice.
    allowed
        (n, m) who may be chosen; None: everybody.
    cost_usd
        (n, m) expected costs; None where they are not known, which then are not bounded.
    worth
        Utility of one unit of quality.
    """
    tried: list[tuple[tuple[int, float], ...]] = [()] * len(mean)
    if allowed is not None:
        mean = np.where(allowed, mean, -np.inf)  # the best of all never lies there
    reach = _REACH * width
    contends = mean + reach > (mean - reach).max(axis=1, keepdims=True)
    several = np.flatnonzero(contends.sum(axis=1) > 1)
    for start in range(0, len(several), _BLOCK):
        rows = several[start : start + _BLOCK]
        shares = probability_of_best(mean[rows], width[rows]).tolist()
        costs = [None] * len(rows) if cost_usd is None else cost_usd[rows].tolist()
        each = zip(rows.tolist(), chosen[rows].tolist(), shares, mean[rows].tolist(), costs, strict=True)
        for row, first, share, value, cost in each:
            tried[row] = _within_bounds(how, first, share, value, cost, worth)
    return tried


def _within_bounds(
    how: Exploration, first: int, share: list[float], value: list[float], cost: list[float] | None, worth: float
) -> tuple[tuple[int, float], ...]:
    """Return whom to try on one request, and how probably, from each candidate's probability of being the best."""
    taken: list[int] = []
    scale = 1.0
    total = loss = extra = 0.0
    most_extra = inf if how.max_extra_cost_usd is None else how.max_extra_cost_usd
    for j in sorted(range(len(share)), key=share.__getitem__, reverse=True):
        if share[j] < how.min_propensity:
            break
        if j == first:
            continue
        total += share[j]
        loss += share[j] * max(value[first] - value[j], 0.0)
        extra += 0.0 if cost is None else share[j] * max(cost[j] - cost[first], 0.0)
        room = min(1.0, how.max_rate / total)
        if loss > 0.0:
            room = min(room, how.max_loss * worth / loss)
        if extra > 0.0:
            room = min(room, most_extra / extra)
        # Both the room and the shares fall from here on: whoever comes later is tried still less.
        if room * share[j] < how.min_propensity:
            break
        taken.append(j)
        scale = room
    return tuple((j, scale * share[j]) for j in taken)


def probability_of_best(mean: Floats, width: Floats) -> Floats:
    """Return (n, m) probabilities that each candidate is the best; every row sums to one.

    ``P(j is best) = integral of dF_j x product of the other F_k``, on a grid over the range in which the best may lie.

    Parameters
    ----------
    mean, width
        (n, m) of independent normal distributions; a mean of minus infinity takes no part.

    Examples
    --------
    >>> import numpy as np
    >>> probability_of_best(np.array([[0.5, 0.5, 0.1]]), np.array([[0.1, 0.1, 0.01]])).round(2).tolist()
    [[0.5, 0.5, 0.0]]
    """
    _, below = _distributions(mean, width)
    others = below.prod(axis=1)[:, None] / below  # no distribution is near zero where the grid begins
    others[:, :, 1:] += others[:, :, :-1]
    shares: Floats = ((below[:, :, 1:] - below[:, :, :-1]) * others[:, :, 1:]).sum(axis=2)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def expected_best(mean: Floats, width: Floats) -> Floats:
    """Return the (n,) expected value of the best: beyond the best mean lies what knowing everything would be worth.

    Examples
    --------
    >>> import numpy as np
    >>> expected_best(np.array([[0.5, 0.5, 0.1]]), np.array([[0.1, 0.1, 0.01]])).round(2).tolist()
    [0.56]
    """
    grid, below = _distributions(mean, width)
    all_below = below.prod(axis=1)
    short = (grid[:, 1:] - grid[:, :-1]) * (all_below[:, 1:] + all_below[:, :-1]) / 2.0
    return np.asarray(grid[:, -1] - short.sum(axis=1))


def _distributions(mean: Floats, width: Floats) -> tuple[Floats, Floats]:
    """Return an (n, g) grid, and the (n, m, g) probabilities that each candidate is worth less than its points."""
    spread = np.maximum(width, _LEAST)
    reach = _REACH * spread
    low, high = (mean - reach).max(axis=1)[:, None], (mean + reach).max(axis=1)[:, None]
    grid = low + (high - low) * _STEPS
    return grid, _normal((grid[:, None, :] - mean[:, :, None]) / spread[:, :, None])


def _normal(z: Floats) -> Floats:
    """Return the normal distribution function within 0.0004 (Page 1977): numpy has no other, and serving no scipy."""
    out: Floats = z * z
    out *= 0.044715 * _PAGE
    out += _PAGE
    out *= z
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out
