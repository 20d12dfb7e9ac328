"""Shares that move towards the best variant, by top-two Thompson sampling.

Russo (2016), "Simple Bayesian algorithms for best arm identification". Plain Thompson sampling gives nearly all units
to the leader, and so learns slowly whether it really leads. Top-two draws the leader half the time, and else the best
of the others. Both probabilities follow from how probably each variant is the best one, so the shares are known
exactly: they are written into the experiment, and with their history every propensity of the past stays known.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.observations import Observations
from beast_ml.experiments.running_moments import running_moments

__all__ = ["best_probabilities", "moved_shares", "top_two"]

Floats = NDArray[np.float64]

_DRAWS: Final = 20_000
_LEADER: Final = 0.5
_LEAST_UNITS: Final = 30
_FLOOR: Final = 0.2
"""Part of an equal share that every variant keeps: what is never drawn can never be found to have become better."""


def best_probabilities(mean: Floats, error: Floats, rng: np.random.Generator) -> Floats:
    """Return how probably each variant has the highest mean, given estimates and their standard errors.

    Examples
    --------
    >>> best_probabilities(np.array([0.5, 0.6]), np.array([0.01, 0.01]), np.random.default_rng(0)).round(2).tolist()
    [0.0, 1.0]
    """
    drawn = rng.normal(mean, error, (_DRAWS, len(mean)))
    return np.bincount(drawn.argmax(axis=1), minlength=len(mean)) / _DRAWS


def top_two(best: Floats) -> Floats:
    """Return the shares that top-two sampling gives, from how probably each variant is the best.

    Half the draws take the leader of a draw from the posterior, half draw again until another one leads.

    Examples
    --------
    >>> top_two(np.array([0.9, 0.1, 0.0])).round(3).tolist()
    [0.5, 0.5, 0.0]
    """
    odds = np.divide(best, 1.0 - best, out=np.zeros_like(best), where=best < 1.0)
    shares = _LEADER * best + (1.0 - _LEADER) * best * (odds.sum() - odds)
    return np.asarray(shares / shares.sum())


def moved_shares(
    experiment: Experiment, observations: Observations, rng: np.random.Generator, *, lower_is_better: bool = False
) -> dict[str, float]:
    """Return the shares that the variants should have now; the sum of all stays what it was.

    Variants without a share are out, and stay out. Nothing moves before every other one has some dozens of units.

    Parameters
    ----------
    experiment
        In the best-arm mode.
    observations
        Of its metric.
    lower_is_better
        Whether less of it is better.

    Raises
    ------
    InputError
        If the experiment's shares are for people to set.
    """
    if experiment.allocation != "best-arm":
        raise InputError(f"experiment {experiment.id!r} has fixed shares: create it with --best-arm to have them moved")
    now = {each.name: each.share for each in experiment.variants if each.share > 0}
    moments = [_final(observations, observations.variants.index(name)) for name in now]
    n, mean, error = (np.array(column) for column in zip(*moments, strict=True))
    if len(now) < 2 or n.min() < _LEAST_UNITS or not (np.isfinite(error) & (error > 0)).all():
        return now
    best = best_probabilities(-mean if lower_is_better else mean, error, rng)
    shares = _FLOOR / len(now) + (1.0 - _FLOOR) * top_two(best)
    total = sum(now.values())
    return {name: float(share) * total for name, share in zip(now, shares, strict=True)}


def _final(observations: Observations, variant: int) -> tuple[int, float, float]:
    own = observations.of(variant)
    values = observations.values[own, :1]
    if not own.any():
        return 0, np.nan, np.nan
    moments = running_moments(observations.unit[own], values, observations.weight[own], np.array([own.sum()]))
    return int(moments.n[0]), float(moments.ratio[0]), float(np.sqrt(moments.ratio_variance[0]))
