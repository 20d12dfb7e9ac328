"""Positive amounts (cost, tokens, latency) of every candidate, on the log scale, with conformal intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.contract import Fitted, Floats, Progress, Rows, TrainingSet
from beast_ml.predictors.families.contract import Problem, silent
from beast_ml.predictors.families.selection import FamiliesConfig, select_family
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.network import NetworkConfig

__all__ = ["AMOUNT_FAMILIES", "AmountPredictor", "fit_amounts"]

# Amounts follow the length and the form of a prompt: a smaller network than for quality does as well.
_NETWORK: Final = NetworkConfig(hidden=(128, 64), dropout=0.1, task_weight=0.0)
AMOUNT_FAMILIES: Final = FamiliesConfig(("network", "kernel", "ridge"), _NETWORK, student=_NETWORK)
"""What competes for amounts by default."""

_COVERAGE: Final = 0.9
_LOG_RANGE: Final = 30.0
_SMEARING_LIMIT: Final = 5.0
_CONSTANT: Final = 1e-6
_FLOOR_TOLERANCE: Final = 1.01


@dataclass(frozen=True)
class AmountPredictor:
    """Expected amount per candidate, and an interval that holds 90% of realised amounts.

    The network predicts standardised logs, ``center + scale x output``. The mean of a skewed amount is above the
    exponential of its mean log: ``smearing`` is the ratio, per candidate (Duan 1983).

    Parameters
    ----------
    models
        The m candidates.
    head
        The network, m outputs.
    center, scale, smearing
        (m,).
    spread
        (m, 2): what is added to the predicted log for the lower and upper end (split conformal on out-of-fold
        residuals).
    floor
        Where zeros were seen, the smallest positive amount, else 0. Amounts below it are taken for it, so that a zero
        has a logarithm; an interval that reaches down to it reaches down to zero.
    """

    models: tuple[str, ...]
    head: DenseHead
    center: Floats
    scale: Floats
    smearing: Floats
    spread: Floats
    floor: float

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected amounts."""
        return np.asarray(np.exp(self._log(rows)) * self.smearing)

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the ends, (n, m) each, of intervals that hold 90% of the realised amounts."""
        logs = self._log(rows)
        low, high = np.exp(logs + self.spread[:, 0]), np.exp(logs + self.spread[:, 1])
        return np.where(low <= _FLOOR_TOLERANCE * self.floor, 0.0, low), high

    def _log(self, rows: Rows) -> Floats:
        return _to_log(self.head.forward(rows), self.center, self.scale)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return self.head.arrays()

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        numbers = {name: getattr(self, name).tolist() for name in ("center", "scale", "smearing", "spread")}
        return {**numbers, "floor": self.floor}

    @classmethod
    def restore(
        cls, models: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]
    ) -> AmountPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        numbers = {name: np.asarray(calibration[name], float) for name in ("center", "scale", "smearing", "spread")}
        return cls(models, DenseHead.from_arrays(arrays), floor=float(calibration["floor"]), **numbers)


def fit_amounts(
    data: TrainingSet,
    amounts: Floats,
    what: str,
    rng: np.random.Generator,
    config: FamiliesConfig = AMOUNT_FAMILIES,
    progress: Progress | None = None,
) -> Fitted[AmountPredictor]:
    """Fit amounts (n, m) >= 0 of a training set; NaN cells are left out.

    Raises
    ------
    NotEnoughDataError
        If a candidate has no observed amount.
    """
    seen = ~np.isnan(amounts)
    empty = [name for name, n in zip(data.outcomes.models, seen.sum(axis=0), strict=True) if n == 0]
    if empty:
        raise NotEnoughDataError(
            f"no {what} of model {empty[0]!r} in the training data: leave the model out of the pool, or give its {what}"
        )
    positive = amounts[seen & (amounts > 0)]
    floor = 0.0
    if positive.size < seen.sum():
        floor = float(positive.min()) if positive.size else 1e-9
    logs = np.log(np.maximum(amounts, floor))
    center = np.nanmean(logs, axis=0)
    scale = np.nanstd(logs, axis=0) + 1e-3
    one_task = np.zeros(len(logs), dtype=np.intp)
    problem = Problem(
        rows=data.rows,
        targets=(logs - center) / scale,
        folds=data.folds,
        loss="squared",
        tasks=one_task,
        label=what,
        progress=progress or silent,
    )
    selection = select_family(problem, rng, config)
    winner = selection.winner
    predicted = _to_log(winner.out_of_fold, center, scale)
    smearing = _smearing(amounts, predicted)
    spread = np.stack([_conformal(logs[:, j] - predicted[:, j]) for j in range(logs.shape[1])])
    out_of_fold = np.exp(predicted) * smearing
    residual = np.nansum((logs - predicted) ** 2, axis=0)
    total = np.nansum((logs - center) ** 2, axis=0)
    varies = total / np.maximum(seen.sum(axis=0), 1) > _CONSTANT  # a constant amount has no R2
    report = {
        "log_r2_out_of_fold": float(np.median(1.0 - residual[varies] / total[varies])) if varies.any() else 1.0,
        "median_ratio_error_out_of_fold": float(np.nanmedian(np.exp(np.abs(logs - predicted))) - 1.0),
    }
    predictor = AmountPredictor(data.outcomes.models, selection.head, center, scale, smearing, spread, floor)
    return Fitted(
        predictor,
        out_of_fold,
        {**report, **selection.report},
        selection.learning_curve,
        selection.scores,
        lambda rows: np.exp(_to_log(winner.predict(rows), center, scale)) * smearing,
    )


def _to_log(outputs: Rows | Floats, center: Floats, scale: Floats) -> Floats:
    return np.asarray(np.clip(center + scale * outputs.astype(np.float64), -_LOG_RANGE, _LOG_RANGE))


def _smearing(amounts: Floats, predicted: Floats) -> Floats:
    """Return mean amount / mean exponential per model, kept within reason where there is little data.

    A model whose amounts are all zero (one that is free, say) gets zero.
    """
    seen = ~np.isnan(amounts)
    total = np.where(seen, amounts, 0.0).sum(axis=0)
    fitted = np.where(seen, np.exp(predicted), 0.0).sum(axis=0)
    ratio = np.clip(total / np.maximum(fitted, 1e-300), 1.0 / _SMEARING_LIMIT, _SMEARING_LIMIT)
    return np.where(total > 0, ratio, 0.0)


def _conformal(residuals: Floats) -> Floats:
    """Return the two residual quantiles that hold 90% of future ones (split conformal, both tails)."""
    residuals = residuals[~np.isnan(residuals)]
    n = len(residuals)
    tail = (1.0 - _COVERAGE) / 2.0
    upper = min(1.0, np.ceil((n + 1) * (1.0 - tail)) / n)
    lower = max(0.0, np.floor((n + 1) * tail) / n)
    return np.asarray(np.quantile(residuals, [lower, upper], method="inverted_cdf"))
