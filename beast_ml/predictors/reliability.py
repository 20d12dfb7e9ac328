"""Probability that a candidate fails on a request (error or timeout)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.calibration import PlattScaling, cross_calibrate
from beast_ml.predictors.contract import Fitted, Floats, Progress, Rows, TrainingSet
from beast_ml.predictors.heads import DenseHead, sigmoid
from beast_ml.predictors.network import NetworkConfig, fit_network
from beast_ml.predictors.shrinkage import task_means

__all__ = ["ReliabilityPredictor", "fit_reliability"]

# Failures are rare and say little about prompts: a linear model, leaning on each candidate's own rate.
_NETWORK: Final = NetworkConfig(hidden=(), dropout=0.0, weight_decay=0.1, task_weight=0.0, epochs=10)
_SHARE_OF_RATE: Final = 0.5


@dataclass(frozen=True)
class ReliabilityPredictor:
    """Failure probability of every candidate: half a linear model of the request, half the candidate's own rate.

    Parameters
    ----------
    models
        The m candidates.
    head
        The linear model, m outputs.
    rates
        (m,) failure rates, shrunk to the pool's.
    platt
        The calibration on top.
    """

    models: tuple[str, ...]
    head: DenseHead
    rates: Floats
    platt: PlattScaling

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) failure probabilities."""
        return self.platt.apply(self._shrunk(rows))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return 90% confidence limits of the failure probability, (n, m) each."""
        return self.platt.interval(self._shrunk(rows))

    def _shrunk(self, rows: Rows) -> Floats:
        return _mix(self.head.forward(rows), self.rates)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return {**self.head.arrays(), "rates": self.rates}

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        return {"platt": self.platt.to_dict()}

    @classmethod
    def restore(
        cls, models: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]
    ) -> ReliabilityPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        platt = PlattScaling.from_dict(calibration["platt"])
        return cls(models, DenseHead.from_arrays(arrays), arrays["rates"], platt)


def fit_reliability(
    data: TrainingSet, failed: Floats, rng: np.random.Generator, progress: Progress | None = None
) -> Fitted[ReliabilityPredictor]:
    """Fit failures (n, m): 1.0 failed, 0.0 answered, NaN not called."""
    fit = fit_network(
        data.rows, failed, data.folds, loss="probability", config=_NETWORK, rng=rng, progress=progress,
        label="reliability",
    )  # fmt: skip
    one_task = np.zeros(len(failed), dtype=np.intp)
    shrunk = np.empty_like(failed)
    for fold in np.unique(data.folds):
        held = data.folds == fold
        rates = task_means(failed[~held], one_task[~held], 1)[0]
        shrunk[held] = _mix(fit.out_of_fold[held], rates)
    platt = PlattScaling.fit(shrunk, failed)
    predictor = ReliabilityPredictor(data.outcomes.models, fit.head, task_means(failed, one_task, 1)[0], platt)
    out_of_fold = cross_calibrate(shrunk, failed, data.folds)
    report = {"brier_out_of_fold": float(np.nanmean((out_of_fold - failed) ** 2))}
    return Fitted(predictor, out_of_fold, report, fit.learning_curve)


def _mix(logits: Rows, rates: Floats) -> Floats:
    return np.asarray((1.0 - _SHARE_OF_RATE) * sigmoid(logits) + _SHARE_OF_RATE * rates)
