"""Gradient-boosted trees, one ensemble a candidate (LightGBM): slow to serve, so only ever a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import MissingExtraError
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem

__all__ = ["fit_trees", "tree_parameters"]

_ROUNDS: Final = 120
_MIN_ROWS: Final = 20
_PARAMETERS: Final[dict[str, Any]] = {
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 63,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
}


@dataclass(frozen=True)
class _Fit:
    """One ensemble to be grown.

    Parameters
    ----------
    kept
        Positions of the rows it learns from.
    targets
        Of these.
    held
        Positions of the rows it is to predict.
    """

    kept: NDArray[np.intp]
    targets: Floats
    held: NDArray[np.intp]


def fit_trees(problem: Problem, seed: int) -> FamilyFit:
    """Fit boosted trees with fixed settings; a candidate with fewer than 20 observed rows keeps its mean.

    Every candidate's ensembles, one without each fold and one of all rows, are parts for the problem's executor.

    Raises
    ------
    MissingExtraError
        If LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("boosted trees", "train") from error
    n, m = problem.targets.shape
    out_of_fold = np.empty((n, m))
    final: list[Any] = []
    overall = float(np.nanmean(problem.targets))
    fits, parts = tee(_fits(problem))  # only those that are worked on are there at a time
    per_candidate = len(problem.fold_ids) + 1
    grown = problem.executor.map(_grow, parts, problem.rows, tree_parameters(problem.loss, seed))
    for i, (fit, (model, predicted)) in enumerate(zip(fits, grown, strict=True)):
        j = i // per_candidate
        if len(fit.held):
            mean = float(fit.targets.mean()) if len(fit.kept) else overall
            out_of_fold[fit.held, j] = mean if predicted is None else predicted
        else:
            final.append(None if model is None else lightgbm.Booster(model_str=model))
            problem.progress(f"{problem.label}: trees", j + 1, m)
    means = np.nanmean(problem.targets, axis=0)

    def predict(rows: Rows) -> Floats:
        columns = [
            np.full(len(rows), mean) if booster is None else booster.predict(rows)
            for booster, mean in zip(final, means, strict=True)
        ]
        return np.stack(columns, axis=1)

    return FamilyFit("trees", out_of_fold, predict, {"rounds": float(_ROUNDS)})


def tree_parameters(loss: str, seed: int) -> dict[str, Any]:
    """Return LightGBM's parameters, the number of rounds among them."""
    objective = "cross_entropy" if loss == "probability" else "regression"
    return {**_PARAMETERS, "objective": objective, "seed": seed, "num_iterations": _ROUNDS}


def _fits(problem: Problem) -> Iterator[_Fit]:
    """Yield each candidate's fits: one a fold, which predicts that fold, then one of all rows."""
    nothing = np.empty(0, dtype=np.intp)
    for seen, targets in zip(problem.seen.T, problem.targets.T, strict=True):
        for fold in problem.fold_ids:
            held = problem.folds == fold
            kept = np.flatnonzero(seen & ~held)
            yield _Fit(kept, targets[kept], np.flatnonzero(held))
        kept = np.flatnonzero(seen)
        yield _Fit(kept, targets[kept], nothing)


def _grow(fit: _Fit, rows: Rows, parameters: dict[str, Any]) -> tuple[str | None, Floats | None]:
    """Return the ensemble as text where it predicts nothing, else what it predicts; nothing where rows are too few."""
    import lightgbm

    if len(fit.kept) < _MIN_ROWS:
        return None, None
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows[fit.kept], fit.targets))
    if len(fit.held):
        return None, booster.predict(rows[fit.held])
    return booster.model_to_string(), None
