"""What of a prediction moves decisions: the differences between candidates, not what they have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["centred"]


def centred(values: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Return (n, m) values minus their mean over a row's seen cells; a row of fewer than two keeps its values."""
    n = seen.sum(axis=1, keepdims=True)
    mean = np.where(seen, values, 0.0).sum(axis=1, keepdims=True) / np.maximum(n, 1)
    return np.where(n > 1, values - mean, values)
