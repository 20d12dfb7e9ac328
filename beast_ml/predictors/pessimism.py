"""How far to lower a prediction before acting on it: more where a model was rarely tried for such requests.

The posterior of `beast_ml.predictors.pooled_ridge` knows how wide it is at every request. A served policy needs that in
a few microseconds, so it is averaged over kinds of request: the nearest of a few dozen centroids, and a table of
(kind, model). A width falls as one over the square root of the number of times the model was tried near there. The same
widths say what exploring may find (`beast_ml.policy.exploration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats, Rows

__all__ = ["PESSIMISM_Z", "Pessimism", "fit_pessimism"]

PESSIMISM_Z: Final = 1.645
"""Posterior standard deviations that a prediction is lowered by: its one-sided 95% bound."""

_KINDS: Final = 32
_ROUNDS: Final = 12


@dataclass(frozen=True)
class Pessimism:
    """What to take off every candidate's predicted quality.

    Parameters
    ----------
    center, scale
        (d,) float32: what makes a feature row comparable.
    centroids
        (k, d) float32, in that space.
    penalties
        (k, m) float64.
    """

    center: Rows
    scale: Rows
    centroids: Rows
    penalties: Floats

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) penalties for feature rows, of which the first d columns are read: the prompt's own."""
        prompt = rows[:, : len(self.center)]
        return np.asarray(self.penalties[_nearest((prompt - self.center) * self.scale, self.centroids)])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return {name: getattr(self, name) for name in ("center", "scale", "centroids", "penalties")}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Pessimism:
        """Rebuild from what `arrays` returned."""
        return cls(arrays["center"], arrays["scale"], arrays["centroids"], arrays["penalties"])


def fit_pessimism(
    rows: Rows, widths: Floats, center: Floats, scale: Floats, rng: np.random.Generator, n_kinds: int = _KINDS
) -> Pessimism:
    """Return penalties from (n, m) posterior standard deviations at (n, d) feature rows.

    Kinds of request are found by k-means on the scaled rows. A kind's penalty is the mean width of its requests.
    """
    middle, factor = center.astype(np.float32), scale.astype(np.float32)
    scaled: Rows = (rows - middle) * factor
    centroids = scaled[rng.choice(len(scaled), min(n_kinds, len(scaled)), replace=False)].copy()
    for _ in range(_ROUNDS):
        kind = _nearest(scaled, centroids)
        n = np.bincount(kind, minlength=len(centroids))
        sums = np.zeros_like(centroids)
        np.add.at(sums, kind, scaled)
        centroids[n > 0] = sums[n > 0] / n[n > 0, None]
    kind = _nearest(scaled, centroids)
    n = np.bincount(kind, minlength=len(centroids))
    totals = np.stack([np.bincount(kind, column, minlength=len(centroids)) for column in widths.T], axis=1)
    means = np.where(n[:, None] > 0, totals / np.maximum(n, 1)[:, None], widths.max(axis=0))
    return Pessimism(middle, factor, centroids, PESSIMISM_Z * means)


def _nearest(rows: Rows, centroids: Rows) -> NDArray[np.intp]:
    return np.asarray(((centroids**2).sum(axis=1) - 2.0 * rows @ centroids.T).argmin(axis=1))
