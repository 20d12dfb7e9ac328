"""Doubly robust targets: what every model would have got on every request of a log, unbiased where one was tried.

Prediction for all, corrected by the importance-weighted residual of the one that answered (Dudik, Langford, Li 2011).
Predictions come from other folds. The correction is what makes a target unbiased and what makes it noisy, so whether
a second fit on such targets beats the first is decided by the data (`fit_targets`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats
from beast_ml.predictors.pooled_ridge import (
    OutOfFold,
    RidgePrior,
    choose_prior,
    fit_pooled_ridge,
    known_out_of_fold,
    predict_out_of_fold,
)

__all__ = ["MAX_WEIGHT", "Targets", "doubly_robust_targets", "fit_targets"]

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


_PRIORS: Final = tuple(RidgePrior(own * part, own) for own in (25.0, 60.0, 150.0) for part in (0.1, 0.3, 1.0))
"""Of quality. None is weaker than 25: where models differ decides who answers, and the prior of least squared error is
too weak for that on little data. Such priors closed more of the gap on logs drawn from mmlu_pro, zeroeval and bfcl."""


@dataclass(frozen=True)
class Targets:
    """What a pooled ridge of quality is fitted to.

    Parameters
    ----------
    values
        (n, m) outcomes, NaN but for the model that answered; or doubly robust targets, without NaN.
    prior
        Of the fit.
    direct
        What fits to the outcomes say out of fold, and with which prior: they alone know where nothing was seen.
    direct_prior
        Of those.
    out_of_fold
        (n, m) predictions by fits to such values that saw nothing of the request's fold, not even in their targets.
    doubly_robust
        Which of the two the values are.
    """

    values: Floats
    prior: RidgePrior
    direct: OutOfFold
    direct_prior: RidgePrior
    out_of_fold: Floats
    doubly_robust: bool


def fit_targets(
    columns: Floats, values: Floats, chosen: NDArray[np.intp], propensity: Floats, folds: NDArray[np.intp]
) -> Targets:
    """Return what to fit, with which prior: the outcomes themselves, or their doubly robust targets.

    The targets are taken when predictions learnt from them have the smaller importance-weighted squared error on the
    logged outcomes, by more than its standard error; both are cross-fitted.
    """
    direct_prior = choose_prior(columns, values, folds, _PRIORS)
    direct = known_out_of_fold(columns, values, folds, direct_prior)
    targets = doubly_robust_targets(values, chosen, propensity, direct.predicted)
    prior = choose_prior(columns, targets, folds, _PRIORS)
    second = np.empty(values.shape)
    for fold in np.unique(folds):
        held = folds == fold
        kept = ~held
        # Targets of the other folds again, from predictions that never saw this one: else its outcomes leak into them.
        inner = predict_out_of_fold(columns[kept], values[kept], folds[kept], direct_prior)
        clean = doubly_robust_targets(values[kept], chosen[kept], propensity[kept], inner)
        second[held] = fit_pooled_ridge(columns[kept], clean, prior).predict(columns[held])
    rows = np.arange(len(chosen))
    realised, weight = values[rows, chosen], np.minimum(1.0 / propensity, MAX_WEIGHT)
    gain = weight * ((realised - direct.predicted[rows, chosen]) ** 2 - (realised - second[rows, chosen]) ** 2)
    gain = gain[np.isfinite(gain)]
    if gain.mean() > gain.std() / max(len(gain), 1) ** 0.5:
        return Targets(targets, prior, direct, direct_prior, second, True)
    return Targets(values, direct_prior, direct, direct_prior, direct.predicted, False)
