"""Choose how to calibrate: Platt's curves of one slope, unless freer ones are better on rows they did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.calibration import PlattScaling, logit
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.routing_error import centred

__all__ = ["CALIBRATIONS", "Calibration", "CalibrationName", "choose_calibration"]

CalibrationName = Literal["platt_common_slope", "platt", "isotonic", "venn_abers"]
"""Maps from scores to probabilities."""

CALIBRATIONS: Final[tuple[CalibrationName, ...]] = get_args(CalibrationName)
"""All of `CalibrationName`."""

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
        if numbers["kind"] not in CALIBRATIONS:
            raise ValueError(f"calibration {numbers['kind']!r}, must be one of {', '.join(CALIBRATIONS)}")
        knots = numbers["knots"]
        platt = PlattScaling.from_dict(numbers["platt"])
        return cls(numbers["kind"], platt, None if knots is None else np.asarray(knots, float))


def choose_calibration(
    predicted: Floats, truth: Floats, folds: NDArray[np.intp], only: CalibrationName | None = None
) -> tuple[Calibration, Floats, dict[CalibrationName, float]]:
    """Return the calibration, (n, m) out-of-fold calibrated predictions, and each kind's error.

    Each kind is fitted on all folds but one and judged on that one, by the squared error of what decisions look at: the
    differences between candidates where several were observed. Curves of their own for every candidate can mend the
    level of each and still spoil the differences, the more so on tasks that are new. So one slope for all is kept
    unless a freer kind is better by more than one standard error of the paired difference.

    Parameters
    ----------
    predicted, truth
        (n, m) out-of-fold predictions and outcomes in 0..1; NaN outcomes are left out.
    folds
        (n,) fold of each row.
    only
        The kind to take whatever the others are worth; None: the best.
    """
    held_out = {kind: np.empty_like(predicted) for kind in _FITS}
    for fold in np.unique(folds):
        held = folds == fold
        for kind, fit in _FITS.items():
            held_out[kind][held] = fit(predicted[~held], truth[~held]).apply(predicted[held])
    seen = ~np.isnan(truth)
    usable = seen.any(axis=1)
    target = centred(np.where(seen, truth, 0.0), seen)

    def errors(values: Floats) -> Floats:
        squared = np.where(seen, centred(values, seen) - target, 0.0) ** 2
        return np.asarray(squared[usable].sum(axis=1) / seen[usable].sum(axis=1))

    by_kind = {kind: errors(values) for kind, values in held_out.items()}
    judged = {kind: float(error.mean()) for kind, error in by_kind.items()}
    best = min(judged, key=lambda kind: judged[kind]) if only is None else only
    gain = by_kind[_DEFAULT] - by_kind[best]
    if only is None and (len(gain) < 2 or gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain))):
        best = _DEFAULT
    return _FITS[best](predicted, truth), held_out[best], judged


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
    from scipy.optimize import isotonic_regression  # scikit-learn's checks take ten times as long as its fit

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
            fitted = isotonic_regression(totals[used] / weights[used], weights=weights[used]).x
            ends.append(float(fitted[int(used[:knot].sum())]))
        low, high = ends
        merged[knot] = high / (1.0 - low + high)
    return merged


def _common_slope(predicted: Floats, truth: Floats) -> Calibration:
    return Calibration("platt_common_slope", PlattScaling.fit_common_slope(predicted, truth))


def _platt(predicted: Floats, truth: Floats) -> Calibration:
    return Calibration("platt", PlattScaling.fit(predicted, truth))


def _curves(kind: CalibrationName, fit: _Fit, predicted: Floats, truth: Floats) -> Calibration:
    scaling = PlattScaling.fit(predicted, truth)
    return Calibration(kind, scaling, _knots(fit, scaling, predicted, truth))


_DEFAULT: Final[CalibrationName] = "platt_common_slope"
_FITS: Final[dict[CalibrationName, Callable[[Floats, Floats], Calibration]]] = {
    "platt_common_slope": _common_slope,
    "platt": _platt,
    "isotonic": partial(_curves, "isotonic", _isotonic),
    "venn_abers": partial(_curves, "venn_abers", _venn_abers),
}
