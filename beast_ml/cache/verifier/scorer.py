"""The function from features to a score: boosted trees, and a linear part that keeps its slope where trees are flat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.forest import Forest

__all__ = ["Linear", "Scorer"]

_CLIP: Final = 4.0


@dataclass(frozen=True)
class Linear:
    """A linear function of standardised features, each clipped at four standard deviations.

    Parameters
    ----------
    means, scales, weights
        (d,) each.
    bias
        What is added.
    """

    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float

    def raw(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n,) values for (n, d) features."""
        out: NDArray[np.float64] = self.standardised(rows, self.means, self.scales) @ self.weights + self.bias
        return out

    @staticmethod
    def standardised(
        rows: NDArray[np.float32], means: NDArray[np.float64], scales: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (n, d) features on the scale that the weights are for."""
        return np.clip((rows - means) / scales, -_CLIP, _CLIP)


@dataclass(frozen=True)
class Scorer:
    """Log-odds that the answer may be served: two thirds from the trees, one third from the linear part.

    Parameters
    ----------
    forest
        Boosted trees.
    linear
        Logistic regression on the same features.
    """

    forest: Forest
    linear: Linear

    def raw(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n,) log-odds for (n, d) features."""
        return (2 * self.forest.raw(rows) + self.linear.raw(rows)) / 3

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n,) scores inside (0, 1)."""
        scores: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-self.raw(rows)))
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` takes."""
        linear = self.linear
        return {
            **self.forest.arrays(),
            "means": linear.means,
            "scales": linear.scales,
            "weights": linear.weights,
            "bias": np.array(linear.bias),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
        """Return the scorer with these arrays."""
        linear = Linear(arrays["means"], arrays["scales"], arrays["weights"], float(arrays["bias"]))
        return cls(Forest.from_arrays(arrays), linear)
