"""Teach one small network what any family predicts: what is served is a dense head, whoever won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.predictors.contract import Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.families.linear_part import LinearPart
from beast_ml.predictors.heads import DenseHead, sigmoid
from beast_ml.predictors.network import NetworkConfig, fit_network

__all__ = ["Distilled", "distil"]

_EDGE: Final = 1e-3
_MIN_BETWEEN: Final = 8_000
_MAX_BETWEEN: Final = 20_000
_HELD_OUT: Final = 0.05
_LEAST_GAIN: Final = 1e-6
_CONSTANT: Final = 1e-12


@dataclass(frozen=True)
class Distilled:
    """A student of a family.

    Parameters
    ----------
    head
        m outputs: logits for probabilities, values for amounts.
    rmse
        Root mean squared difference to the teacher on rows the student did not see; on the scale of the targets.
    r2
        Share of the variance of the teacher's predictions (within candidates) that the student follows there.
    learning_curve
        As of `beast_ml.predictors.network.CrossFit`.
    """

    head: DenseHead
    rmse: float
    r2: float
    learning_curve: tuple[tuple[float, float], ...]


def distil(problem: Problem, teacher: FamilyFit, rng: np.random.Generator, config: NetworkConfig) -> Distilled:
    """Fit a network to what a teacher says of the training rows, out of fold, and of points between them.

    Out of fold, because a student is to learn what the teacher would say of new rows, not what it remembers. The points
    between two rows (Zhang et al. 2018, mixup) are new to the teacher too, and there are as many as one likes: small
    data would otherwise not be enough to learn a teacher from, and of large data they are the smaller part.

    Nothing the student says of the training rows may be used to judge it or to calibrate: through the teacher's fits to
    other folds it has seen their outcomes. The teacher's out-of-fold predictions stand for it there.
    """
    n, m = problem.targets.shape
    kept_back = rng.permutation(n)[: max(1, round(_HELD_OUT * n))]
    between = _points_between(np.delete(problem.rows, kept_back, axis=0), min(max(n, _MIN_BETWEEN), _MAX_BETWEEN), rng)
    rows = np.vstack([problem.rows, between])
    taught = np.vstack([teacher.out_of_fold, teacher.predict(between)])
    if problem.loss == "probability":
        taught = np.clip(taught, _EDGE, 1.0 - _EDGE)
    held = np.zeros(len(taught), dtype=bool)
    held[kept_back] = True
    linear = None
    rest, gain = taught, np.ones(m)
    if problem.loss == "squared":  # amounts follow lengths and counts, and a network is slow to learn a plain sum
        inputs = problem.standardise(rows)
        linear = LinearPart.fit(inputs[~held], taught[~held])
        rest = taught - linear.predict(inputs)
        gain = rest[~held].std(axis=0) + _LEAST_GAIN
    fit = fit_network(
        rows,
        rest / gain,
        np.where(held, 0, -1),
        loss=problem.loss,
        config=config,
        rng=rng,
        progress=problem.progress,
        label=f"{problem.label}: distilling",
        standardisation=problem.standardisation,
        refit=False,
    )
    head = fit.head if linear is None else linear.plus(fit.head, gain)
    said = head.forward(rows[held])
    squared = float((((sigmoid(said) if problem.loss == "probability" else said) - taught[held]) ** 2).mean())
    variance = float(taught[:n].var(axis=0).mean())
    return Distilled(head, squared**0.5, 1.0 - squared / variance if variance > _CONSTANT else 1.0, fit.learning_curve)


def _points_between(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Return (n, d) points on the lines between random pairs of rows."""
    first, second = rng.integers(len(rows), size=(2, n))
    share = rng.random((n, 1), dtype=np.float32)
    return np.asarray(share * rows[first] + (1.0 - share) * rows[second], dtype=np.float32)
