"""What a router would save if a little quality may be given up: its curve read off at fractions of a quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.routing_metrics import Points, Scoreboard

__all__ = ["QUALITY_FRACTIONS", "Saving", "savings_at"]

QUALITY_FRACTIONS: Final = (1.0, 0.99, 0.95)
"""Shares of the best single model's quality at which savings are told."""


@dataclass(frozen=True)
class Saving:
    """What is saved at a fraction of the reference model's quality.

    Parameters
    ----------
    quality_fraction
        The fraction that is kept, (0, 1].
    quality
        The quality that is, on the data.
    saving
        Fraction of the reference model's cost that is saved; 0 where the curve does not reach the quality for less,
        since the reference itself can then answer. None inside when the reference costs nothing.
    """

    quality_fraction: float
    quality: float
    saving: Estimate


def savings_at(board: Scoreboard, points: Points, fractions: Sequence[float] = QUALITY_FRACTIONS) -> tuple[Saving, ...]:
    """Return the least cost at which a router's curve buys fractions of the best single model's quality.

    The reference is the best single model of the training data. The curve is that of the test queries, so the trade-off
    is picked with hindsight: a bound on what a well chosen operating point gets, and to be compared with the same
    figure of the zero router (``board.singles``), which saves money at less quality too.

    Parameters
    ----------
    board
        The run's realised outcomes.
    points
        A router's points, for example ``evaluation.scores["beast"].points``.
    fractions
        Fractions of the quality to keep.
    """
    cost, quality = board.singles.cost[:, board.reference], board.singles.quality[:, board.reference]
    curves = board.frontiers(points)
    found = []
    for fraction in fractions:
        at = [curve.cost_of(fraction * target) for curve, target in zip(curves, quality, strict=True)]
        # To the left of a curve's first vertex nothing is cheaper: `cost_of` answers with that vertex.
        least = np.minimum(np.array([np.inf if each is None else each for each in at]), cost)
        with np.errstate(invalid="ignore", divide="ignore"):
            saving = np.where(cost > 0, (cost - least) / cost, np.nan)
        found.append(Saving(fraction, float(fraction * quality[0]), Estimate.of(saving)))
    return tuple(found)
