"""Quality of every candidate's answer, 0..1: the best of several families, distilled into one head and calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.calibration_choice import Calibration, choose_calibration
from beast_ml.predictors.contract import Fitted, Floats, Progress, Rows, TrainingSet
from beast_ml.predictors.families.contract import KindPosterior, Problem, silent
from beast_ml.predictors.families.selection import FamiliesConfig, select_family
from beast_ml.predictors.heads import DenseHead, sigmoid
from beast_ml.predictors.kind_shrinkage import kinds_of_tasks, name_rare_tasks_by_kind
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.request_kind import RequestKindPredictor
from beast_ml.predictors.shrinkage import group_tasks

__all__ = ["QUALITY_FAMILIES", "QualityPredictor", "fit_quality"]

QUALITY_FAMILIES: Final = FamiliesConfig(
    ("task_means", "kind_means", "network", "kernel", "ridge", "low_rank", "neighbours"), NetworkConfig(), n_networks=2
)
"""What competes for quality by default. Boosted trees take minutes and have won nowhere: name them to try them."""


@dataclass(frozen=True)
class QualityPredictor:
    """Expected quality of every candidate.

    Parameters
    ----------
    models
        The m candidates.
    head
        m logits.
    calibrated
        What turns the head's probabilities into calibrated ones.
    """

    models: tuple[str, ...]
    head: DenseHead
    calibrated: Calibration

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected quality."""
        return self.calibrated.apply(sigmoid(self.head.forward(rows)))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return 90% confidence limits of the expected quality, (n, m) each.

        They bound the mean quality over requests that are predicted alike, not the quality of one answer.
        """
        return self.calibrated.interval(sigmoid(self.head.forward(rows)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return self.head.arrays()

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        return self.calibrated.to_dict()

    @classmethod
    def restore(
        cls, models: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]
    ) -> QualityPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        return cls(models, DenseHead.from_arrays(arrays), Calibration.from_dict(calibration))


def fit_quality(
    data: TrainingSet,
    rng: np.random.Generator,
    config: FamiliesConfig = QUALITY_FAMILIES,
    progress: Progress | None = None,
    kinds: Fitted[RequestKindPredictor] | None = None,
) -> Fitted[QualityPredictor]:
    """Fit the families, choose and distil one, and calibrate what it says of rows it did not see.

    Where there is a log behind the outcomes, it is calibrated on the answers that were really logged, each counted
    once, and on what the teacher said of them without having seen them. The curve is that of the requests which the
    log sent to the candidate, and holds where the router departs from the log as far as it goes by the prediction
    alone. Weights of 1 / propensity would make it that of all requests, which a router does not send there either, and
    leave it to the few outcomes of greatest weight.

    ``kinds`` is the classifier of request kinds on the same rows, where there is one: its posterior, and which task is
    of which kind, are what predictions are shrunk towards where there is little else.
    """
    quality = data.outcomes.quality
    labelled = data.outcomes.tasks if data.kinds is None else name_rare_tasks_by_kind(data.outcomes.tasks, data.kinds)
    names, tasks = group_tasks(labelled)
    task_kinds = None if data.kinds is None else kinds_of_tasks(tasks, len(names), data.kinds)
    problem = Problem(
        rows=data.rows,
        targets=quality,
        folds=data.folds,
        loss="probability",
        tasks=tasks,
        n_tasks=len(names),
        task_kinds=task_kinds,
        kinds=None if kinds is None or data.kinds is None else _posterior(kinds, data.kinds),
        prior_queries=config.prior_queries,
        label="quality",
        progress=progress or silent,
        memo=data.memo,
        executor=data.executor,
    )
    selection = select_family(problem, rng, config)
    winner = selection.winner
    unseen, outcomes = winner.out_of_fold, quality
    if data.logged is not None:
        unseen, outcomes = data.logged.unseen, data.logged.outcomes
    calibration, out_of_fold, judged = choose_calibration(unseen, outcomes, data.folds, config.calibration)
    prior = next(score for score in selection.scores if score.name == "prior")
    report = {
        **selection.report,
        "brier_out_of_fold": float(np.nanmean((out_of_fold - outcomes) ** 2)),
        **{f"error_calibrated_by/{kind}": error for kind, error in judged.items()},
    }
    if data.logged is None:
        report["brier_of_model_means"] = prior.squared_error
    return Fitted(
        QualityPredictor(data.outcomes.models, selection.head, calibration),
        out_of_fold,
        report,
        selection.learning_curve,
        selection.scores,
        lambda rows: calibration.apply(winner.predict(rows)),
    )


def _posterior(fitted: Fitted[RequestKindPredictor], kinds: NDArray[np.str_]) -> KindPosterior:
    names = np.array(fitted.predictor.kinds)
    labels = np.where(np.isin(kinds, names), np.searchsorted(names, kinds), -1)
    return KindPosterior(labels, fitted.out_of_fold, fitted.predictor.posterior)
