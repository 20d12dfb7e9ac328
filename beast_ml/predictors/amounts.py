"""Positive amounts (cost, tokens, latency) of every candidate, on the log scale, with conformal quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.contract import Fitted, Floats, P_co, Progress, Rows, TrainingSet
from beast_ml.predictors.families.contract import Problem, silent
from beast_ml.predictors.families.selection import FamiliesConfig, select_family
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.intervals import (
    COVERAGE,
    ConformalOffsets,
    cross_coverage,
    fit_scale,
    local_scale,
    worst_group,
)
from beast_ml.predictors.network import NetworkConfig

__all__ = ["AMOUNT_FAMILIES", "AmountPredictor", "FittedAmounts", "coverage_report", "fit_amounts", "log_accuracy"]

# Amounts follow the length and the form of a prompt: a smaller network than for quality does as well.
_NETWORK: Final = NetworkConfig(hidden=(128, 64), dropout=0.1, task_weight=0.0)
# A student is told of expectations, not of noise: it needs no dropout, and learns faster.
_STUDENT: Final = replace(_NETWORK, dropout=0.0, learning_rate=4e-3)
AMOUNT_FAMILIES: Final = FamiliesConfig(("network", "kernel", "ridge"), _NETWORK, student=_STUDENT)
"""What competes for amounts by default."""

_LOG_RANGE: Final = 30.0
_SMEARING_LIMIT: Final = 5.0
_CONSTANT: Final = 1e-6
_FLOOR_TOLERANCE: Final = 1.01
_SCALE: Final = "scale_head/"
_NUMBERS: Final = ("center", "scale", "smearing", "scale_center")


@dataclass(frozen=True)
class AmountPredictor:
    """Expected amount per candidate, its quantiles, and an interval that holds 90% of realised amounts.

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
    scale_head, scale_center
        How far the predicted log is off on a request: what the head says, in units of (m,) its mean.
    spread
        Quantiles of the residuals in units of that scale.
    shift
        Added to amounts before their logarithm is taken: what is far below it need not be told apart. 0 for none.
    floor
        Where zeros were seen or there is a shift, the smallest positive amount, else 0. Nothing less is predicted, so
        that a zero has a logarithm; an interval that reaches down to it reaches down to zero.
    """

    models: tuple[str, ...]
    head: DenseHead
    center: Floats
    scale: Floats
    smearing: Floats
    scale_head: DenseHead
    scale_center: Floats
    spread: ConformalOffsets
    shift: float
    floor: float

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected amounts."""
        return self._without_shift(np.exp(self._log(rows)) * self.smearing)

    def typical(self, rows: Rows) -> Floats:
        """Return (n, m) exponentials of the expected logarithm: near the median, below the expectation of `predict`."""
        return self._without_shift(np.exp(self._log(rows)))

    def quantile(self, rows: Rows, q: float) -> Floats:
        """Return (n, m) amounts that realised ones stay below with probability ``q``.

        ``q=0.5`` is the median, ``q=0.95`` what a budget reserves.

        Raises
        ------
        InputError
            If ``q`` is not from 0.01 to 0.99.
        """
        return self._above_floor(np.exp(self._log(rows) + self.spread.at(q) * self._log_scale(rows)))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the ends, (n, m) each, of intervals that hold 90% of the realised amounts."""
        tail = (1.0 - COVERAGE) / 2.0
        logs, scale = self._log(rows), self._log_scale(rows)
        low, high = np.exp(logs + self.spread.at(tail) * scale), np.exp(logs + self.spread.at(1.0 - tail) * scale)
        return self._above_floor(low), high

    def error(self, rows: Rows) -> Floats:
        """Return (n, m): by how much an amount is typically off `typical`, in its unit."""
        return np.asarray(np.exp(self._log(rows)) * self._log_scale(rows))

    def _log_scale(self, rows: Rows) -> Floats:
        return local_scale(self.scale_head.forward(rows), self.scale_center)

    def _log(self, rows: Rows) -> Floats:
        return _to_log(self.head.forward(rows), self.center, self.scale)

    def _above_floor(self, shifted: Floats) -> Floats:
        amounts = shifted - self.shift
        return np.where(amounts <= _FLOOR_TOLERANCE * self.floor, 0.0, amounts)

    def _without_shift(self, shifted: Floats) -> Floats:
        return _without(self.shift, self.floor, shifted)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        scale = {f"{_SCALE}{name}": array for name, array in self.scale_head.arrays().items()}
        return {**self.head.arrays(), **scale}

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        numbers = {name: getattr(self, name).tolist() for name in _NUMBERS}
        return {**numbers, "spread": self.spread.to_dict(), "shift": self.shift, "floor": self.floor}

    @classmethod
    def restore(
        cls, models: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]
    ) -> AmountPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        scale_arrays = {name.removeprefix(_SCALE): a for name, a in arrays.items() if name.startswith(_SCALE)}
        return cls(
            models,
            DenseHead.from_arrays({name: array for name, array in arrays.items() if not name.startswith(_SCALE)}),
            scale_head=DenseHead.from_arrays(scale_arrays),
            spread=ConformalOffsets.from_dict(calibration["spread"]),
            shift=float(calibration["shift"]),
            floor=float(calibration["floor"]),
            **{name: np.asarray(calibration[name], float) for name in _NUMBERS},
        )


@dataclass(frozen=True)
class FittedAmounts(Fitted[P_co]):
    """Fitted amounts, with how uncertain each out-of-fold prediction was.

    Parameters
    ----------
    out_of_fold_typical
        (n, m): what ``out_of_fold`` is the expectation of, as the exponential of its expected logarithm.
    out_of_fold_error
        (n, m): by how much amounts were expected to be off that, in their unit.
    out_of_fold_inside
        (n, m): 1.0 where the realised amount was inside its 90% interval, 0.0 where not, NaN where unobserved.
    """

    out_of_fold_typical: Floats = field(kw_only=True)
    out_of_fold_error: Floats = field(kw_only=True)
    out_of_fold_inside: Floats = field(kw_only=True)


def fit_amounts(
    data: TrainingSet,
    amounts: Floats,
    what: str,
    rng: np.random.Generator,
    config: FamiliesConfig = AMOUNT_FAMILIES,
    progress: Progress | None = None,
    shift: float = 0.0,
) -> FittedAmounts[AmountPredictor]:
    """Fit amounts (n, m) >= 0 of a training set; NaN cells are left out.

    ``shift`` is added to them before their logarithm is taken: answers of 1 and of 2 tokens are far apart in their
    logarithm, and cost the same.

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
    if shift or positive.size < seen.sum():
        floor = float(positive.min()) if positive.size else 1e-9
    shifted = amounts + shift
    logs = np.log(np.maximum(shifted, shift or floor))
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
        memo=data.memo,
        executor=data.executor,
    )
    selection = select_family(problem, rng, config)
    winner = selection.winner
    predicted = _to_log(winner.out_of_fold, center, scale)
    smearing = _smearing(shifted, predicted)
    scale_head, scale_center, local = fit_scale(problem, logs - predicted)
    scores = (logs - predicted) / local
    spread = ConformalOffsets.fit(scores)
    inside = cross_coverage(scores, data.folds)
    out_of_fold = np.exp(predicted)
    for fold in np.unique(data.folds):  # smeared by the other folds: totals must not be right by construction
        held = data.folds == fold
        out_of_fold[held] *= _smearing(shifted[~held], predicted[~held])
    typical = _without(shift, floor, np.exp(predicted))
    accuracy = log_accuracy(np.log(typical), np.log(np.maximum(amounts, floor)))
    report = {**accuracy, **coverage_report(inside, data)}
    # The residuals are the winner's; what is served may be its student, which is off by a little more.
    lost = selection.report.get("distillation_rmse", 0.0) * scale
    own = np.nanmean((logs - predicted) ** 2, axis=0)
    served_center = scale_center * np.sqrt(1.0 + lost**2 / np.maximum(own, _CONSTANT))
    predictor = AmountPredictor(
        data.outcomes.models, selection.head, center, scale, smearing, scale_head, served_center, spread, shift, floor
    )
    return FittedAmounts(
        predictor,
        _without(shift, floor, out_of_fold),
        {**report, **selection.report},
        selection.learning_curve,
        selection.scores,
        lambda rows: _without(shift, floor, np.exp(_to_log(winner.predict(rows), center, scale)) * smearing),
        out_of_fold_typical=typical,
        out_of_fold_error=np.exp(predicted) * local,
        out_of_fold_inside=inside,
    )


def log_accuracy(predicted: Floats, realised: Floats) -> dict[str, float]:
    """Return the median R2 over the models whose amount varies, and the median ratio error, of (n, m) logarithms."""
    known = ~np.isnan(realised - predicted).all(axis=0)  # what is free has no logarithm
    realised, predicted = realised[:, known], predicted[:, known]
    if not known.any():
        return {"log_r2_out_of_fold": 1.0, "median_ratio_error_out_of_fold": 0.0}
    residual = np.nansum((realised - predicted) ** 2, axis=0)
    total = np.nansum((realised - np.nanmean(realised, axis=0)) ** 2, axis=0)
    varies = total / np.maximum((~np.isnan(realised)).sum(axis=0), 1) > _CONSTANT  # a constant amount has no R2
    return {
        "log_r2_out_of_fold": float(np.median(1.0 - residual[varies] / total[varies])) if varies.any() else 1.0,
        "median_ratio_error_out_of_fold": float(np.nanmedian(np.exp(np.abs(realised - predicted))) - 1.0),
    }


def coverage_report(inside: Floats, data: TrainingSet) -> dict[str, float]:
    """Return the shares of amounts inside their 90% intervals: of all, of the worst model, task and kind of request."""
    per_model = np.nanmean(inside[:, ~np.isnan(inside).all(axis=0)], axis=0)
    if not per_model.size:
        return {}
    return {
        "coverage_out_of_fold": float(np.nanmean(inside)),
        "coverage_of_worst_model": float(per_model[np.abs(per_model - COVERAGE).argmax()]),
        "coverage_of_worst_task": worst_group(inside, data.outcomes.tasks),
        **({} if data.kinds is None else {"coverage_of_worst_kind": worst_group(inside, data.kinds)}),
    }


def _to_log(outputs: Rows | Floats, center: Floats, scale: Floats) -> Floats:
    return np.asarray(np.clip(center + scale * outputs.astype(np.float64), -_LOG_RANGE, _LOG_RANGE))


def _without(shift: float, floor: float, shifted: Floats) -> Floats:
    return np.maximum(shifted - shift, floor) if shift else shifted


def _smearing(amounts: Floats, predicted: Floats) -> Floats:
    """Return mean amount / mean exponential per model, kept within reason where there is little data.

    A model whose amounts are all zero (one that is free, say) gets zero.
    """
    seen = ~np.isnan(amounts)
    total = np.where(seen, amounts, 0.0).sum(axis=0)
    fitted = np.where(seen, np.exp(predicted), 0.0).sum(axis=0)
    ratio = np.clip(total / np.maximum(fitted, 1e-300), 1.0 / _SMEARING_LIMIT, _SMEARING_LIMIT)
    return np.where(total > 0, ratio, 0.0)
