"""Gradient-boosted trees, one ensemble a candidate (LightGBM): slow to serve, so only ever a teacher."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import MissingExtraError
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.families.contract import FamilyFit, Problem

__all__ = ["fit_trees"]

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


def fit_trees(problem: Problem, seed: int) -> FamilyFit:
    """Fit boosted trees with fixed settings; a candidate with fewer than 20 observed rows keeps its mean.

    Raises
    ------
    MissingExtraError
        If LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("boosted trees", "train") from error
    objective = "cross_entropy" if problem.loss == "probability" else "regression"
    parameters = {**_PARAMETERS, "objective": objective, "seed": seed}
    n, m = problem.targets.shape
    out_of_fold = np.empty((n, m))
    final: list[Any] = []
    for j in range(m):
        seen = problem.seen[:, j]
        y = problem.targets[:, j]
        positions = np.flatnonzero(seen)

        def grow(kept: NDArray[np.intp], y: Floats = y, positions: NDArray[np.intp] = positions) -> Any:
            if len(kept) < _MIN_ROWS:
                return None
            return lightgbm.train(
                parameters, lightgbm.Dataset(problem.rows[positions[kept]], y[positions[kept]]), _ROUNDS
            )

        for fold in problem.fold_ids:
            held = problem.folds == fold
            kept = np.flatnonzero(~held[positions])
            booster = grow(kept)
            mean = float(y[positions[kept]].mean()) if len(kept) else float(np.nanmean(problem.targets))
            out_of_fold[held, j] = mean if booster is None else booster.predict(problem.rows[held])
        final.append(grow(np.arange(len(positions))))
        problem.progress(f"{problem.label}: trees", j + 1, m)
    means = np.nanmean(problem.targets, axis=0)

    def predict(rows: Rows) -> Floats:
        columns = [
            np.full(len(rows), mean) if booster is None else booster.predict(rows)
            for booster, mean in zip(final, means, strict=True)
        ]
        return np.stack(columns, axis=1)

    return FamilyFit("trees", out_of_fold, predict, {"rounds": float(_ROUNDS)})
