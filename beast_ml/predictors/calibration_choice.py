"""Choose how to calibrate: Platt's curve unless a freer one is better on rows it did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.calibration import PlattScaling, logit
from beast_ml.predictors.contract import Floats

__all__ = ["Calibration", "CalibrationName", "choose_calibration"]

CalibrationName = Literal["platt", "isotonic", "venn_abers"]

_KNOTS: Final = 33
_RANGE: Final = float(logit(np.array(1.0)))
_STEP: Final = 2.0 * _RANGE / (_KNOTS - 1)
_MIN_ROWS: Final = 50

_Fit = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Calibration:
    """Predicted qualities to calibrated ones, one curve a candidate.

    Parameters
    ----------
    kind
        How the curves were fitted.
    platt
        Platt's curves; they give the intervals whatever the kind.
    knots
        (m, 33) calibrated values at equally spaced logits, between which is interpolated; None for Platt's own curves.
    """

    kind: CalibrationName
    platt: PlattScaling
    knots: Floats | None = None

    def apply(self, predicted: Floats) -> Floats:
        """Return calibrated (n, m) predictions."""
        if self.knots is None:
            return self.platt.apply(predicted)
        position = (logit(predicted) + _RANGE) / _STEP
        left = np.minimum(position.astype(np.intp), _KNOTS - 2)
        share = position - left
        column = np.arange(self.knots.shape[0])
        return np.asarray(self.knots[column, left] * (1.0 - share) + self.knots[column, left + 1] * share)

    @staticmethod
    def identity_knots() -> Floats:
        """Return the (33,) values of a curve that leaves predictions as they are."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.linspace(-_RANGE, _RANGE, _KNOTS))))

    def interval(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Return 90% limits, (n, m) each, of the mean outcome over requests that are predicted alike."""
        low, high = self.platt.interval(predicted)
        if self.knots is None:
            return low, high
        value = self.apply(predicted)
        return np.minimum(low, value), np.maximum(high, value)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able numbers, for `from_dict`."""
        return {
            "kind": self.kind,
            "platt": self.platt.to_dict(),
            "knots": None if self.knots is None else self.knots.tolist(),
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Calibration:
        """Rebuild from what `to_dict` returned.

        Raises
        ------
        ValueError
            If the kind is none of those there are.
        """
        if numbers["kind"] not in get_args(CalibrationName):
            raise ValueError(f"calibration {numbers['kind']!r}, must be one of {', '.join(get_args(CalibrationName))}")
        knots = numbers["knots"]
        platt = PlattScaling.from_dict(numbers["platt"])
        return cls(numbers["kind"], platt, None if knots is None else np.asarray(knots, float))


def choose_calibration(
    predicted: Floats, truth: Floats, folds: NDArray[np.intp]
) -> tuple[Calibration, Floats, dict[str, float]]:
    """Return the calibration, (n, m) out-of-fold calibrated predictions, and each kind's squared error.

    Each kind is fitted on all folds but one and judged on that one. Platt's two numbers a candidate are kept unless a
    freer curve is better by more than one standard error of the paired difference.

    Parameters
    ----------
    predicted, truth
        (n, m) out-of-fold predictions and outcomes in 0..1; NaN outcomes are left out.
    folds
        (n,) fold of each row.
    """
    platt = np.empty_like(predicted)
    curves = {kind: np.empty_like(predicted) for kind in _CURVES}
    for fold in np.unique(folds):
        held = folds == fold
        scaling = PlattScaling.fit(predicted[~held], truth[~held])
        platt[held] = scaling.apply(predicted[held])
        for kind, values in curves.items():
            knots = _knots(_CURVES[kind], scaling, predicted[~held], truth[~held])
            values[held] = Calibration(kind, scaling, knots).apply(predicted[held])
    usable = ~np.isnan(truth).all(axis=1)

    def errors(values: Floats) -> Floats:
        return np.asarray(np.nanmean((values[usable] - truth[usable]) ** 2, axis=1))

    reference = errors(platt)
    judged = {"platt": float(reference.mean())} | {
        kind: float(errors(values).mean()) for kind, values in curves.items()
    }
    scaling = PlattScaling.fit(predicted, truth)
    best = min(curves, key=lambda kind: judged[kind])
    gain = reference - errors(curves[best])
    if len(gain) > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)):
        knots = _knots(_CURVES[best], scaling, predicted, truth)
        return Calibration(best, scaling, knots), curves[best], judged
    return Calibration("platt", scaling), platt, judged


def _knots(fit: _Fit, platt: PlattScaling, predicted: Floats, truth: Floats) -> Floats:
    """Return (m, 33) values of a curve; a candidate with fewer than 50 observations keeps Platt's."""
    at = np.linspace(-_RANGE, _RANGE, _KNOTS)
    grid = np.broadcast_to((1.0 / (1.0 + np.exp(-at)))[:, None], (_KNOTS, predicted.shape[1]))
    knots = platt.apply(grid).T.copy()
    for j in range(predicted.shape[1]):
        seen = ~np.isnan(truth[:, j])
        if seen.sum() >= _MIN_ROWS:
            knots[j] = fit(logit(predicted[seen, j]), truth[seen, j])
    return knots


def _isotonic(scores: Floats, truth: Floats) -> Floats:
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, truth)
    return np.asarray(curve.predict(np.linspace(-_RANGE, _RANGE, _KNOTS)))


def _venn_abers(scores: Floats, truth: Floats) -> Floats:
    """Return the inductive Venn-Abers probabilities p1 / (1 - p0 + p1) at the knots (Vovk, Petej 2014).

    p0 and p1 are isotonic fits to the observations and one more at the knot, taken to be wrong and to be right. For the
    isotonic curve only sums and counts within bins matter, so observations are binned by the nearest knot first.
    """
    from sklearn.isotonic import isotonic_regression

    bins = np.clip(np.rint((scores + _RANGE) / _STEP).astype(np.intp), 0, _KNOTS - 1)
    counts = np.bincount(bins, minlength=_KNOTS).astype(float)
    sums = np.bincount(bins, weights=truth, minlength=_KNOTS)
    merged = np.empty(_KNOTS)
    for knot in range(_KNOTS):
        weights = counts.copy()
        weights[knot] += 1.0
        used = weights > 0
        ends = []
        for label in (0.0, 1.0):
            totals = sums.copy()
            totals[knot] += label
            fitted = isotonic_regression(totals[used] / weights[used], sample_weight=weights[used], y_min=0, y_max=1)
            ends.append(float(fitted[int(used[:knot].sum())]))
        low, high = ends
        merged[knot] = high / (1.0 - low + high)
    return merged


_CURVES: Final[dict[CalibrationName, _Fit]] = {"isotonic": _isotonic, "venn_abers": _venn_abers}
