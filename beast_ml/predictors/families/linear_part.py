"""What of a teacher is linear in the features: found in closed form, and served inside the student's layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.heads import CLIP, DenseHead

__all__ = ["LinearPart"]

_PENALTY: Final = 10.0
_RANK: Final = 8


@dataclass(frozen=True)
class LinearPart:
    """A linear model of standardised features, of few directions: ``inputs @ reads @ writes + intercept``.

    Parameters
    ----------
    reads
        (d, r).
    writes
        (r, m).
    intercept
        (m,).
    """

    reads: Floats
    writes: Floats
    intercept: Floats

    @classmethod
    def fit(cls, inputs: Floats, values: Floats) -> LinearPart:
        """Fit (n, m) values on (n, d) standardised features by reduced-rank ridge regression (Izenman 1975)."""
        from scipy.linalg import solve

        n, mean_in, mean_out = len(inputs), inputs.mean(axis=0), values.mean(axis=0)
        gram = inputs.T @ inputs - n * np.outer(mean_in, mean_in)
        cross = inputs.T @ values - n * np.outer(mean_in, mean_out)
        weights = solve(gram + _PENALTY * np.eye(len(gram)), cross, assume_a="pos")
        writes = np.linalg.eigh(weights.T @ gram @ weights)[1].T[::-1][:_RANK]
        reads = weights @ writes.T
        return cls(reads, writes, mean_out - mean_in @ reads @ writes)

    def predict(self, inputs: Floats) -> Floats:
        """Return (n, m) values for (n, d) standardised features."""
        return np.asarray(inputs @ self.reads @ self.writes + self.intercept)

    def plus(self, head: DenseHead, gain: Floats) -> DenseHead:
        """Return one head that outputs ``predict + gain * head``.

        The r directions pass through the hidden layers in units of their own. Features are clipped, so a direction has
        a lower bound; with that taken off, it is positive, and a ReLU lets it pass as it is.
        """
        if len(head.weights) == 1:
            only = _float32(head.weights[0] * gain + self.reads @ self.writes)
            return replace(head, weights=(only,), biases=(_float32(head.biases[0] * gain + self.intercept),))
        r = self.reads.shape[1]
        bound = CLIP * np.abs(self.reads).sum(axis=0)
        first, *between = head.weights[:-1]
        weights = [_float32(np.hstack([first, self.reads]))]
        biases = [_float32(np.concatenate([head.biases[0], bound]))]
        for weight, bias in zip(between, head.biases[1:-1], strict=True):
            a, b = weight.shape
            weights.append(_float32(np.block([[weight, np.zeros((a, r))], [np.zeros((r, b)), np.eye(r)]])))
            biases.append(_float32(np.concatenate([bias, np.zeros(r)])))
        weights.append(_float32(np.vstack([head.weights[-1] * gain, self.writes])))
        biases.append(_float32(head.biases[-1] * gain + self.intercept - bound @ self.writes))
        return DenseHead(head.center, head.scale, tuple(weights), tuple(biases))


def _float32(values: Floats) -> Rows:
    return np.ascontiguousarray(values, dtype=np.float32)
