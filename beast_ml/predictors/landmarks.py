"""Kernel features by landmarks: a Gaussian kernel on requests as a few hundred columns (Nystrom)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.predictors.contract import Floats, Rows

__all__ = ["LandmarkFeatures"]

_SURFACE_WEIGHT: Final = 0.5
_WIDTHS: Final = ((0.7, 0.15), (0.3, 1.0))
"""(share, rate): the kernel is the sum of share x exp(-rate x squared distance)."""
_CLIP: Final = 3.0
_JITTER: Final = 1e-6
_CHUNK: Final = 8192


@dataclass(frozen=True)
class LandmarkFeatures:
    """Columns whose inner products are close to a kernel of two widths (Williams, Seeger 2001), for kernel ridge.

    Embeddings and surface features are scaled to a mean squared length of 1 and 1/4, so two unrelated requests have a
    squared distance of about 2.5. The wide kernel sees what kind of request it is, which is most of what one outcome a
    request can teach; the narrow one what is asked.

    Parameters
    ----------
    center, scale
        (d,): a feature row is centred, multiplied and clipped.
    landmarks
        (k, d) scaled rows.
    whitening
        (k, k): turns kernel values at the landmarks into columns.
    """

    center: Floats
    scale: Floats
    landmarks: Floats
    whitening: Floats

    @classmethod
    def fit(cls, rows: Rows, embedding_dim: int, n_landmarks: int, rng: np.random.Generator) -> LandmarkFeatures:
        """Learn scales from (n, d) rows whose first columns are an embedding, and draw landmarks among them."""
        sample = rows[rng.choice(len(rows), min(len(rows), 20_000), replace=False)].astype(np.float64)
        center, spread = sample.mean(axis=0), sample.std(axis=0)
        scale = np.zeros(sample.shape[1])
        length = float(np.sqrt((spread[:embedding_dim] ** 2).sum()))
        scale[:embedding_dim] = 1.0 / length if length > 0 else 0.0
        surface = spread[embedding_dim:]
        varies = surface > 1e-9
        scale[embedding_dim:][varies] = _SURFACE_WEIGHT / surface[varies] / max(int(varies.sum()), 1) ** 0.5
        features = cls(center, scale, np.empty((0, sample.shape[1])), np.empty((0, 0)))
        landmarks = np.unique(features._scaled(sample[:n_landmarks]), axis=0)
        values, vectors = np.linalg.eigh(_kernel(landmarks, landmarks) + _JITTER * np.eye(len(landmarks)))
        return cls(center, scale, landmarks, vectors / np.sqrt(np.maximum(values, _JITTER)))

    def transform(self, rows: Rows) -> Floats:
        """Return (n, k) columns of (n, d) feature rows."""
        out = np.empty((len(rows), self.whitening.shape[1]))
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = _kernel(self._scaled(rows[part].astype(np.float64)), self.landmarks) @ self.whitening
        return out

    def _scaled(self, rows: Floats) -> Floats:
        scaled = (rows - self.center) * self.scale
        # An odd prompt must not lie so far from everything that nothing is known of it but the prior.
        limit = np.where(self.scale > 0, _CLIP * _SURFACE_WEIGHT, 0.0)
        return np.asarray(np.clip(scaled, -limit, limit))


def _kernel(a: Floats, b: Floats) -> Floats:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2.0 * a @ b.T
    squared = np.maximum(squared, 0.0)
    return np.asarray(sum(share * np.exp(-rate * squared) for share, rate in _WIDTHS))
