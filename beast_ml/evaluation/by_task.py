"""An evaluation by kind of request: where a router gains, where it loses, and whether it is calibrated there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.calibration import QualityCalibration, calibrate_quality
from beast_ml.evaluation.routers import ROUTER
from beast_ml.evaluation.routing import RoutingEvaluation
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["TaskResult", "judge_by_task"]

_MIN_QUERIES: Final = 20
_RESAMPLES: Final = 500


@dataclass(frozen=True)
class TaskResult:
    """How a router does on the queries of one task, at the operating point chosen on training data.

    Parameters
    ----------
    task
        The task, "" for queries that name none.
    n_queries
        Scored queries of it.
    best_model
        The single model that was best on them, with hindsight.
    quality_gain
        Router's quality minus that of the best single model of the training data (over all tasks).
    saving
        Fraction of that model's cost on these queries that is saved; None inside where there is no cost.
    shares
        Model -> share of the queries it gets, models without any left out.
    calibration
        Of predicted quality on these queries.
    """

    task: str
    n_queries: int
    best_model: str
    quality_gain: Estimate
    saving: Estimate
    shares: dict[str, float]
    calibration: QualityCalibration


def judge_by_task(
    evaluation: RoutingEvaluation, test: OutcomeMatrix, rng: np.random.Generator, min_queries: int = _MIN_QUERIES
) -> tuple[TaskResult, ...]:
    """Return how the router of an evaluation does on each task of its test set, the most frequent task first.

    Intervals are bootstraps over the queries of the task alone. Many tasks are many looks: one interval of twenty
    excludes the truth by chance.

    Parameters
    ----------
    evaluation
        What `evaluate_routing` returned.
    test
        The test outcomes it was given.
    rng
        Draws the resamples.
    min_queries
        Tasks with fewer scored queries are left out: nothing could be said.
    """
    board, scored = evaluation.board, evaluation.scored
    if board is None:
        return ()
    ours = next(router for router in evaluation.decisions if router.name == ROUTER)
    operating, predicted = ours.operating[scored], ours.predictions.quality[scored]
    models = ours.predictions.models
    tasks, sizes = np.unique(test.tasks[scored], return_counts=True)
    results = []
    for task in tasks[np.argsort(-sizes, kind="stable")]:
        at = np.flatnonzero(test.tasks[scored] == task)
        if len(at) < min_queries:
            continue
        quality, cost = board.quality[at], board.cost[at]
        part = Scoreboard(
            quality, cost, board.reference, board.willingness, QueryBootstrap.draw(rng, len(at), _RESAMPLES)
        )
        metrics = part.point_metrics(operating[at])
        counts = np.bincount(operating[at], minlength=len(models))
        best = np.lexsort((cost.mean(axis=0), -quality.mean(axis=0)))[0]
        results.append(
            TaskResult(
                task=str(task),
                n_queries=len(at),
                best_model=models[best],
                quality_gain=Estimate.of(metrics["quality_gain"]),
                saving=Estimate.of(metrics["saving"]),
                shares={models[j]: float(counts[j] / len(at)) for j in np.flatnonzero(counts)},
                calibration=calibrate_quality(models, predicted[at], quality, part.bootstrap, rng),
            )
        )
    return tuple(results)
