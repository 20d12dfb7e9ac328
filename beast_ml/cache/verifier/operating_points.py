"""What a trained verifier is worth on its own evidence, beside a fixed cosine: curves, and points at usual epsilons."""

from __future__ import annotations

from math import isfinite
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.curves import trade_off
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.trained import TrainedVerifier

__all__ = ["EPSILONS", "OperatingPoint", "VerifierCurves", "verifier_curves"]

EPSILONS: Final = (0.005, 0.01, 0.02)
"""Wrong hits over lookups that reports are made for."""

_MOST: Final = 0.1
_POINTS: Final = 101


class OperatingPoint(msgspec.Struct, frozen=True):
    """A threshold that risk control chose.

    Parameters
    ----------
    epsilon
        False-hit rate that is promised.
    threshold
        None: the pairs allow none, so nothing hits.
    hit_rate, false_hit_rate
        Of the labelled pairs.
    """

    epsilon: float
    threshold: float | None
    hit_rate: float
    false_hit_rate: float


class VerifierCurves(msgspec.Struct, frozen=True):
    """Hits against false hits on labelled pairs, by method: ``verifier`` and ``cosine``.

    Parameters
    ----------
    n_pairs
        Labelled pairs.
    delta
        Probability with which a promise may be broken.
    false_hit_rates
        Of every curve.
    hit_rates
        The most that each method reaches at these.
    points
        Each method's, one an epsilon.
    """

    n_pairs: int
    delta: float
    false_hit_rates: list[float]
    hit_rates: dict[str, list[float]]
    points: dict[str, list[OperatingPoint]]

    @property
    def headline(self) -> dict[str, float]:
        """The verifier's points, by name of figure and epsilon."""
        figures = {"verifier/pairs": float(self.n_pairs)}
        for point in self.points["verifier"]:
            at = f"at_{point.epsilon:g}"
            figures |= {
                f"verifier/hit_rate_{at}": point.hit_rate,
                f"verifier/false_hit_rate_{at}": point.false_hit_rate,
            }
            if point.threshold is not None:
                figures[f"verifier/threshold_{at}"] = point.threshold
        return figures


def verifier_curves(trained: TrainedVerifier, cosines: NDArray[np.float64]) -> VerifierCurves:
    """Return the curves of a verifier's cross-fitted scores, and of the (n,) cosines of the same pairs."""
    scores = {"verifier": trained.scores, "cosine": cosines}
    drawn = {name: trade_off(each, trained.right, _POINTS, _MOST) for name, each in scores.items()}
    return VerifierCurves(
        n_pairs=len(trained.right),
        delta=RiskTarget.delta,
        false_hit_rates=drawn["verifier"][0].tolist(),
        hit_rates={name: hits.tolist() for name, (_, hits) in drawn.items()},
        points={name: [_point(each, trained, epsilon) for epsilon in EPSILONS] for name, each in scores.items()},
    )


def _point(scores: NDArray[np.float64], trained: TrainedVerifier, epsilon: float) -> OperatingPoint:
    chosen = choose_threshold(scores, trained.right, RiskTarget(epsilon), texts=trained.texts)
    n = chosen.n_lookups
    value = chosen.value if isfinite(chosen.value) else None
    return OperatingPoint(epsilon, value, chosen.n_hits / n, chosen.n_wrong / n)
