"""The operating point: how much to pay for quality, decided on training data alone."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.policy.utility import Predictions, choose, willingness_grid

__all__ = [
    "MARGIN_Z",
    "QUALITY_MARGIN",
    "OperatingPoint",
    "best_single_model",
    "choose_operating_point",
    "gain_with_margin",
    "is_as_good",
]

Floats = NDArray[np.float64]

MARGIN_Z: Final = 1.645
"""Standard errors in a one-sided 95% margin."""

QUALITY_MARGIN: Final = 0.01
"""Loss of quality that a saving may cost, at the worst end of an interval."""

_GRID_POINTS: Final = 192
"""Points looked at. Those of a decision table lie decisions by the hundred apart, and what lies between the last that
passes and the first that does not is saving left behind."""


class OperatingPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do by default, and the training evidence for it.

    Parameters
    ----------
    kind
        ``router``: choose by utility at ``willingness_to_pay``. ``single``: always answer with ``model``.
    model
        The best single model of the training data, to which the router was held.
    willingness_to_pay
        Unit of cost per unit of quality, finite; None when one model always answers.
    n_queries
        Training queries on which every candidate was observed: the evidence.
    quality, cost
        Means of the chosen point on them (out-of-fold decisions, realised outcomes); None without evidence.
    best_single_quality, best_single_cost
        Means of ``model`` on the same queries.
    quality_gain, gain_margin
        Mean of (quality - best single's quality), paired by query, and 1.645 of its standard errors.
    """

    kind: Literal["router", "single"]
    model: str
    willingness_to_pay: float | None = None
    n_queries: int = 0
    quality: float | None = None
    cost: float | None = None
    best_single_quality: float | None = None
    best_single_cost: float | None = None
    quality_gain: float | None = None
    gain_margin: float | None = None


def choose_operating_point(
    out_of_fold: Predictions, quality: Floats, cost: Floats, quality_target: float = 1.0
) -> OperatingPoint:
    """Return the cheapest point that is as good as the best single model, or that model.

    Let d be the per-query difference in realised quality of out-of-fold decisions to the best single model, and SE its
    standard error. A willingness to pay counts as good enough when nothing is lost, mean(d) >= 0, and a one-sided 95%
    test finds it not worse by more than 0.01, mean(d) - 1.645 SE >= -0.01: the second binds on small data, and is what
    the verdict and the promotion gates will ask of other queries. Of the points that are good enough the one of least
    realised cost is taken (on ties the better, then the more willing to pay).

    Asking for significantly better, mean(d) - 1.645 SE >= 0, would refuse nearly every router that saves money; asking
    only for not significantly worse, mean(d) >= -1.645 SE, chose points that lost quality on other queries.

    Parameters
    ----------
    out_of_fold
        Predictions for the n training queries by models that never saw them.
    quality, cost
        (n, m) realised outcomes, NaN where not observed; queries with a NaN are left out.
    quality_target
        Share of the best single model's quality that must be reached, (0, 1]: with 0.95, d is measured from 95% of it.

    Raises
    ------
    InputError
        If the target is not in (0, 1].
    """
    if not 0.0 < quality_target <= 1.0:
        raise InputError(f"`quality_target` == {quality_target}, must be in (0, 1]")
    complete = np.isfinite(quality).all(axis=1) & np.isfinite(cost).all(axis=1)
    best = best_single_model(quality, cost)
    model = out_of_fold.models[best]
    n = int(complete.sum())
    if n < 2:
        return OperatingPoint("single", model, n_queries=n)
    quality, cost = quality[complete], cost[complete]
    seen = Predictions(out_of_fold.models, out_of_fold.quality[complete], out_of_fold.cost[complete])
    single_quality, single_cost = float(quality[:, best].mean()), float(cost[:, best].mean())
    passing: list[tuple[float, float, float, float]] = []
    for w in willingness_grid(out_of_fold, _GRID_POINTS)[:-1]:  # inf has no JSON, and the point before it decides alike
        chosen = choose(seen, w)[:, None]
        point_quality = np.take_along_axis(quality, chosen, axis=1)[:, 0]
        mean, margin = gain_with_margin(point_quality - quality[:, best])
        if is_as_good(mean + (1.0 - quality_target) * single_quality, margin):
            point_cost = float(np.take_along_axis(cost, chosen, axis=1).mean())
            passing.append((point_cost, -float(point_quality.mean()), -float(w), margin))
    single = OperatingPoint(
        kind="single",
        model=model,
        n_queries=n,
        quality=single_quality,
        cost=single_cost,
        best_single_quality=single_quality,
        best_single_cost=single_cost,
        quality_gain=0.0,
        gain_margin=0.0,
    )
    if not passing:
        return single
    point_cost, lost_quality, unwillingness, margin = min(passing)
    return msgspec.structs.replace(
        single,
        kind="router",
        willingness_to_pay=-unwillingness,
        quality=-lost_quality,
        cost=point_cost,
        quality_gain=-lost_quality - single_quality,
        gain_margin=margin,
    )


def gain_with_margin(gain: Floats) -> tuple[float, float]:
    """Return the mean of per-query gains in quality, and 1.645 of its standard errors."""
    return float(gain.mean()), float(MARGIN_Z * gain.std(ddof=1) / np.sqrt(len(gain)))


def is_as_good(mean: float, margin: float) -> bool:
    """Whether nothing is lost, and a one-sided 95% test finds the gain above -0.01."""
    return mean >= 0 and mean - margin >= -QUALITY_MARGIN


def best_single_model(quality: Floats, cost: Floats) -> int:
    """Return the index of the model of highest mean quality; ties go to the cheaper, then to the first.

    Queries on which every model was observed decide, so that all are judged on the same ones; without any, each
    model's own observations do.
    """
    complete = np.isfinite(quality).all(axis=1) & np.isfinite(cost).all(axis=1)
    if complete.any():
        quality, cost = quality[complete], cost[complete]
    mean_quality, mean_cost = _column_means(quality, -np.inf), _column_means(cost, np.inf)
    return int(np.lexsort((mean_cost, -mean_quality))[0])


def _column_means(values: Floats, unobserved: float) -> Floats:
    observed = np.isfinite(values)
    n = observed.sum(axis=0)
    return np.where(n > 0, np.where(observed, values, 0.0).sum(axis=0) / np.maximum(n, 1), unobserved)
