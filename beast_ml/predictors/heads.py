"""The served form of every predictor: a small dense network in plain numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Rows

__all__ = ["CLIP", "DenseHead", "sigmoid", "softmax"]

CLIP: Final = 5.0
"""Standardised features are clipped to this many standard deviations, so that no odd prompt extrapolates far."""


@dataclass(frozen=True)
class DenseHead:
    """Standardise, clip, then dense layers with ReLU between them.

    Parameters
    ----------
    center, scale
        (d,) float32.
    weights, biases
        One (inputs, outputs) and one (outputs,) float32 a layer; a single layer is a linear model.
    """

    center: Rows
    scale: Rows
    weights: tuple[Rows, ...]
    biases: tuple[Rows, ...]

    def forward(self, rows: Rows) -> Rows:
        """Return (n, outputs) float32 for (n, d) features."""
        hidden: Rows = rows - self.center
        hidden *= self.scale
        np.clip(hidden, -CLIP, CLIP, out=hidden)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0.0, out=hidden)
        hidden = hidden @ self.weights[-1]
        hidden += self.biases[-1]
        return hidden

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return its arrays by name, for `from_arrays`."""
        named: dict[str, NDArray[Any]] = {"center": self.center, "scale": self.scale}
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            named[f"weight_{i}"] = weight
            named[f"bias_{i}"] = bias
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> DenseHead:
        """Rebuild a head from what `arrays` returned."""
        n_layers = sum(name.startswith("weight_") for name in arrays)
        return cls(
            center=arrays["center"],
            scale=arrays["scale"],
            weights=tuple(arrays[f"weight_{i}"] for i in range(n_layers)),
            biases=tuple(arrays[f"bias_{i}"] for i in range(n_layers)),
        )


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the softmax over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
