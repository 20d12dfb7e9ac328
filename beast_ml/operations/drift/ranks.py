"""Bets on conformal p-values: while rows could have come in any order, a new one's rank is uniform and independent.

What makes a p-value of what a row is like differs (a number's rank, how common a name is); the bets are the same:
that ranks are high, that they are low, that they are extreme, and that they are not (Vovk et al. 2021, "Retrain or not
retrain: conformal test martingales for change-point detection").
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.operations.drift.e_detector import STAKES

__all__ = ["N_STRATEGIES", "rank_factors", "tie_break"]

Floats = NDArray[np.float64]

_STAKES: Final = np.asarray(STAKES)
_NONE: Final = np.zeros(2 * len(STAKES))
_ON_SHIFT: Final = np.concatenate((_STAKES, -_STAKES, _NONE))
_ON_SPREAD: Final = np.concatenate((_NONE, _STAKES, -_STAKES))
N_STRATEGIES: Final = 4 * len(STAKES)
"""Bets that are mixed."""

_MASK: Final = 2**64 - 1


def rank_factors(p: float) -> Floats:
    """Return (N_STRATEGIES,) factors for a p-value; each has mean one if that is uniform.

    Examples
    --------
    >>> bool(abs(np.mean([rank_factors((i + 0.5) / 1000) for i in range(1000)], axis=0) - 1).max() < 1e-3)
    True
    """
    shift = 2.0 * p - 1.0
    spread = 1.5 * shift * shift - 0.5  # the second Legendre polynomial: in -0.5..1, of mean zero
    return np.asarray(1.0 + _ON_SHIFT * shift + _ON_SPREAD * spread)


def tie_break(n: int) -> float:
    """Return a number in 0..1 for the n-th row of a stream, the same one every time (SplitMix64, Steele et al. 2014).

    Ranks among equals are drawn, and a detector that is restarted draws them as it would have.
    """
    z = (n * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return float((z ^ (z >> 31)) >> 11) / 2.0**53
