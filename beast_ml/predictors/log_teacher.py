"""What a log teaches of every candidate: pooled ridges of quality and log cost, cross-fitted, with their uncertainty.

It knows what it does not know, and is fitted in seconds: the teacher of the network that is served, the predictions
behind doubly robust estimates, and a served family of its own where many simulated logs are learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats
from beast_ml.predictors.doubly_robust import fit_targets
from beast_ml.predictors.pessimism import PESSIMISM_Z
from beast_ml.predictors.pooled_ridge import PooledRidge, choose_prior, fit_pooled_ridge, predict_out_of_fold

__all__ = ["AmountTeacher", "LogTeacher", "teach"]

_LEAST: Final = 1e-9
_SMEARING: Final = (0.2, 5.0)


@dataclass(frozen=True)
class AmountTeacher:
    """Expected amounts: a pooled ridge on standardised logs.

    Parameters
    ----------
    ridge
        Of the standardised logs.
    center, scale, smearing
        (m,): ``exp(center + scale x output) x smearing`` is the expectation.
    out_of_fold
        (n, m) expectations for the requests learnt from.
    """

    ridge: PooledRidge
    center: Floats
    scale: Floats
    smearing: Floats
    out_of_fold: Floats

    def predict(self, columns: Floats) -> Floats:
        """Return (n, m) expected amounts."""
        return np.asarray(np.exp(self.center + self.scale * self.ridge.predict(columns)) * self.smearing)


@dataclass(frozen=True)
class LogTeacher:
    """The fitted teacher.

    Parameters
    ----------
    quality
        The ridge of quality.
    evidence
        The ridge of the outcomes that were seen, which knows where none were: doubly robust targets fill every cell.
    cost
        None where cost plays no part.
    out_of_fold
        (n, m) expected quality of the requests learnt from, by fits that did not see their fold.
    widths
        (n, m) posterior standard deviations there, by fits that did not see the fold either: the request's own outcome
        would make the model that answered look better known than the others.
    doubly_robust
        Whether quality was learnt from doubly robust targets, because those predicted better.
    """

    quality: PooledRidge
    evidence: PooledRidge
    cost: AmountTeacher | None
    out_of_fold: Floats
    widths: Floats
    doubly_robust: bool

    def lower(self, columns: Floats) -> Floats:
        """Return (n, m) one-sided 95% lower bounds of the expected quality."""
        return np.asarray(self.quality.predict(columns) - PESSIMISM_Z * self.evidence.spread(columns))

    @property
    def caution_out_of_fold(self) -> Floats:
        """(n, m) what bounds for the requests learnt from lie below the expected quality."""
        return np.asarray(PESSIMISM_Z * self.widths)

    @property
    def lower_out_of_fold(self) -> Floats:
        """(n, m) lower bounds for the requests learnt from."""
        return self.out_of_fold - self.caution_out_of_fold


def teach(
    columns: Floats,
    quality: Floats,
    cost: Floats | None,
    chosen: NDArray[np.intp],
    propensity: Floats,
    folds: NDArray[np.intp],
) -> LogTeacher:
    """Learn from one outcome a request.

    Parameters
    ----------
    columns
        (n, k) kernel features.
    quality, cost
        (n, m) outcomes, NaN but for the model that answered. ``cost`` is None where it plays no part.
    chosen, propensity
        (n,) the logged choice and its probability, known or estimated.
    folds
        (n,) the same question always in the same one.
    """
    targets = fit_targets(columns, quality, chosen, propensity, folds)
    direct = fit_pooled_ridge(columns, quality, targets.direct_prior, targets.direct.noise)
    return LogTeacher(
        quality=fit_pooled_ridge(columns, targets.values, targets.prior) if targets.doubly_robust else direct,
        evidence=direct,
        cost=None if cost is None else _teach_amounts(columns, cost, folds),
        out_of_fold=targets.out_of_fold,
        widths=targets.direct.spread,
        doubly_robust=targets.doubly_robust,
    )


def _teach_amounts(columns: Floats, amounts: Floats, folds: NDArray[np.intp]) -> AmountTeacher:
    logs = np.log(np.maximum(amounts, _LEAST))
    seen = np.isfinite(logs)
    n = seen.sum(axis=0)
    center = np.where(n > 0, np.where(seen, logs, 0.0).sum(axis=0) / np.maximum(n, 1), logs[seen].mean())
    scale = float((logs - center)[seen].std()) + 1e-3
    standard = (logs - center) / scale
    prior = choose_prior(columns, standard, folds)
    out_of_fold = np.exp(center + scale * predict_out_of_fold(columns, standard, folds, prior))
    smearing = _smearing(amounts, out_of_fold)
    smeared = np.empty_like(out_of_fold)
    for fold in np.unique(folds):  # by the other folds: totals must not be right by construction
        held = folds == fold
        smeared[held] = out_of_fold[held] * _smearing(amounts[~held], out_of_fold[~held])
    ridge = fit_pooled_ridge(columns, standard, prior)
    return AmountTeacher(ridge, center, np.full(len(n), scale), smearing, smeared)


def _smearing(amounts: Floats, predicted: Floats) -> Floats:
    """Return (m,) mean amount / mean prediction, kept within reason; 1 where nothing was observed."""
    seen = np.isfinite(amounts)
    total, fitted = (np.where(seen, values, 0.0).sum(axis=0) for values in (amounts, predicted))
    return np.where(seen.any(axis=0), np.clip(total / np.maximum(fitted, 1e-300), *_SMEARING), 1.0)
