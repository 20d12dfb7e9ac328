"""Do predicted qualities mean what they say? Expected calibration error beside its sampling floor, Brier, AUC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.routing_metrics import RIGHT_FROM

__all__ = ["QualityCalibration", "calibrate_quality", "weighted_auc"]

Floats = NDArray[np.float64]

_BINS: Final = 15
_FLOOR_DRAWS: Final = 300
_AUC_RESAMPLES: Final = 200  # ranks have to be redone for every resample: dear, and enough for an interval


@dataclass(frozen=True)
class QualityCalibration:
    """How predicted quality compares with realised quality, over all models of the pool.

    Parameters
    ----------
    ece
        Expected calibration error: mean over equal-mass bins of |mean predicted - mean realised|.
    ece_floor, ece_floor_high
        What a perfectly calibrated predictor with the same residuals would show by chance on as many queries: mean
        and 95% quantile. An ECE is only bad as far as it exceeds its floor.
    brier
        Mean squared error.
    auc
        Probability that a right answer was predicted better than a wrong one of the same model, mean over models.
    per_model
        Model -> ``ece``, ``brier``, ``auc``; None where a model is always or never right.
    """

    ece: Estimate
    ece_floor: float
    ece_floor_high: float
    brier: Estimate
    auc: Estimate
    per_model: dict[str, dict[str, float | None]]

    def to_dict(self) -> dict[str, object]:
        """Return the values for a report."""
        return {
            "ece": self.ece.to_dict(),
            "ece_floor": self.ece_floor,
            "ece_floor_high": self.ece_floor_high,
            "brier": self.brier.to_dict(),
            "auc": self.auc.to_dict(),
            "per_model": self.per_model,
        }


def calibrate_quality(
    models: tuple[str, ...],
    predicted: Floats,
    realised: Floats,
    bootstrap: QueryBootstrap,
    rng: np.random.Generator,
) -> QualityCalibration:
    """Return the calibration of (s, m) predicted qualities against realised ones without NaN.

    Cells are binned into 15 bins of equal mass by predicted quality. Queries are the sampling unit throughout, since
    the answers of several models to one query are alike; for the floor, each query's residuals (centred by bin) get
    a random sign.
    """
    m = len(models)
    binned, centred = _residuals_by_bin(predicted, realised)
    signs = rng.choice([-1.0, 1.0], size=(_FLOOR_DRAWS, len(predicted)))
    chance = np.abs(signs @ centred / len(predicted)).sum(axis=1) / m
    squared = ((predicted - realised) ** 2).mean(axis=1, keepdims=True)
    right = realised >= RIGHT_FROM
    few = bootstrap.first(_AUC_RESAMPLES)
    weights = np.vstack([np.full(len(predicted), 1.0 / len(predicted)), few.weights(0, _AUC_RESAMPLES)])
    auc = np.stack([weighted_auc(predicted[:, i], right[:, i], weights) for i in range(m)])
    defined = np.isfinite(auc)
    mean_auc = np.where(defined, auc, 0.0).sum(axis=0) / np.where(defined.any(axis=0), defined.sum(axis=0), np.nan)
    per_model = {
        model: {
            "ece": float(np.abs(_residuals_by_bin(predicted[:, [i]], realised[:, [i]])[0].mean(axis=0)).sum()),
            "brier": float(((predicted[:, i] - realised[:, i]) ** 2).mean()),
            "auc": float(auc[i, 0]) if defined[i, 0] else None,
        }
        for i, model in enumerate(models)
    }
    return QualityCalibration(
        ece=Estimate.of(_recentred(np.abs(bootstrap.means(binned)).sum(axis=1) / m)),
        ece_floor=float(chance.mean()),
        ece_floor_high=float(np.quantile(chance, 0.95)),
        brier=Estimate.of(bootstrap.means(squared)[:, 0]),
        auc=Estimate.of(mean_auc),
        per_model=per_model,
    )


def weighted_auc(score: Floats, right: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the area under the ROC curve for each row of (r, s) query weights; ties count half.

    NaN where a row has weight on one class only.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf) > 0)
    sorted_weights, sorted_right = weights[:, order], right[order]
    positive = np.add.reduceat(sorted_weights * sorted_right, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~sorted_right, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (positive * below).sum(axis=1) / pairs, np.nan)


def _recentred(statistics: Floats) -> Floats:
    """Return resampled errors moved so that their mean is the error itself, and none is negative.

    Resampling adds noise to every bin, and an absolute value cannot tell noise from error: as they come, resampled
    errors lie above the one they are to surround.
    """
    if len(statistics) == 1:
        return statistics
    resampled = statistics[1:] - (statistics[1:].mean() - statistics[0])
    return np.concatenate([statistics[:1], np.maximum(resampled, 0.0)])


def _residuals_by_bin(predicted: Floats, realised: Floats) -> tuple[Floats, Floats]:
    """Return (s, bins) sums of residuals per query and bin, as they are and centred within each bin."""
    edges = np.quantile(predicted, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, predicted, side="right")
    residuals = predicted - realised
    counts = np.bincount(bins.ravel(), minlength=_BINS)
    means = np.bincount(bins.ravel(), weights=residuals.ravel(), minlength=_BINS) / np.maximum(counts, 1)
    rows = np.arange(len(predicted))[:, None]
    sums, centred = np.zeros((len(predicted), _BINS)), np.zeros((len(predicted), _BINS))
    np.add.at(sums, (rows, bins), residuals)
    np.add.at(centred, (rows, bins), residuals - means[bins])
    return sums, centred
