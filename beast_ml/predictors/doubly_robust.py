"""Doubly robust targets: what every model would have got on every request of a log, unbiased where one was tried.

Prediction for all, corrected by the importance-weighted residual of the one that answered (Dudik, Langford, Li 2011).
Predictions come from other folds. The correction is what makes a target unbiased and what makes it noisy, so whether
a second fit on such targets beats the first is decided by the data (`fit_targets`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats
from beast_ml.predictors.pooled_ridge import RidgePrior, choose_prior, fit_pooled_ridge, predict_out_of_fold

__all__ = ["MAX_WEIGHT", "doubly_robust_targets", "fit_targets"]

MAX_WEIGHT: Final = 50.0
"""Ceiling on importance weights in targets: a bias towards the prediction, where a model was hardly ever tried."""


def doubly_robust_targets(
    values: Floats,
    chosen: NDArray[np.intp],
    propensity: Floats,
    predicted: Floats,
    max_weight: float = MAX_WEIGHT,
) -> Floats:
    """Return (n, m) targets without NaN.

    Parameters
    ----------
    values
        (n, m) outcomes, NaN but for the chosen model's; a request without any keeps its predictions.
    chosen, propensity
        (n,) the logged choice and its probability.
    predicted
        (n, m) by fits that did not see the request.
    max_weight
        Ceiling on 1 / propensity.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[1.0, np.nan]])
    >>> doubly_robust_targets(values, np.array([0]), np.array([0.5]), np.array([[0.6, 0.3]])).tolist()
    [[1.4, 0.3]]
    """
    rows = np.arange(len(chosen))
    realised = values[rows, chosen]
    residual = np.where(np.isfinite(realised), realised - predicted[rows, chosen], 0.0)
    targets = predicted.copy()
    targets[rows, chosen] += np.minimum(1.0 / propensity, max_weight) * residual
    return targets


def fit_targets(
    columns: Floats, values: Floats, chosen: NDArray[np.intp], propensity: Floats, folds: NDArray[np.intp]
) -> tuple[Floats, RidgePrior, bool]:
    """Return what to fit, with which prior: the outcomes themselves, or their doubly robust targets.

    The targets are taken when predictions learnt from them have the smaller importance-weighted squared error on the
    logged outcomes, by more than its standard error; both are cross-fitted. The third value says whether they were.
    """
    direct = choose_prior(columns, values, folds)
    plain = predict_out_of_fold(columns, values, folds, direct)
    targets = doubly_robust_targets(values, chosen, propensity, plain)
    prior = choose_prior(columns, targets, folds)
    second = np.empty(values.shape)
    for fold in np.unique(folds):
        held = folds == fold
        kept = ~held
        # Targets of the other folds again, from predictions that never saw this one: else its outcomes leak into them.
        inner = predict_out_of_fold(columns[kept], values[kept], folds[kept], direct)
        clean = doubly_robust_targets(values[kept], chosen[kept], propensity[kept], inner)
        second[held] = fit_pooled_ridge(columns[kept], clean, prior).predict(columns[held])
    rows = np.arange(len(chosen))
    realised, weight = values[rows, chosen], np.minimum(1.0 / propensity, MAX_WEIGHT)
    gain = weight * ((realised - plain[rows, chosen]) ** 2 - (realised - second[rows, chosen]) ** 2)
    gain = gain[np.isfinite(gain)]
    better = bool(gain.mean() > gain.std() / max(len(gain), 1) ** 0.5)
    return (targets, prior, True) if better else (values, direct, False)
