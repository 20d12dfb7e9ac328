"""What the teacher makes of a log, and what a served router takes over from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.operations.log_decision import LogDecision, decide_from_log
from beast_ml.operations.log_rounds import LoggedChoices, failure_rates, logged_choices, logged_rounds
from beast_ml.policy.decide import quality_acted_on
from beast_ml.policy.learner import FittedRouter, RouterLearner, get_encoder, realised_cost
from beast_ml.policy.operating_point import OperatingPoint
from beast_ml.policy.utility import CostKind, Predictions
from beast_ml.predictors.contract import Floats, LoggedQuality, Rows
from beast_ml.predictors.log_teacher import LogTeacher, teach
from beast_ml.predictors.pessimism import Pessimism, fit_pessimism
from beast_ml.predictors.pool import Expected
from beast_ml.predictors.teacher_columns import TeacherColumns

__all__ = ["LogLesson", "learn_from_log", "with_lesson"]

_FOLDS: Final = 5
_MOSTLY: Final = 0.5


@dataclass(frozen=True)
class LogLesson:
    """What was learnt from the training part of a log.

    Parameters
    ----------
    targets
        (n, m) quality of every model on the training requests, as the teacher sees it; 0..1.
    pessimism
        What to take off a prediction where the log tried a model rarely.
    decision
        What to deploy, by cross-fitted estimates on the training part.
    judged
        (n,) training requests of the policy that is to be beaten, which these estimates are of.
    choices
        How the models were chosen, on the whole log.
    logged
        The outcomes behind the targets, to calibrate on.
    doubly_robust
        Whether the teacher learnt from doubly robust targets.
    """

    targets: Floats
    pessimism: Pessimism
    decision: LogDecision
    judged: NDArray[np.bool_]
    choices: LoggedChoices
    logged: LoggedQuality
    doubly_robust: bool

    def metrics(self) -> dict[str, float]:
        """Return the figures under the names that MLflow shows them by."""
        gain, effective = self.decision.gain, self.decision.effective
        return {
            **self.choices.report.metrics(),
            "logging_policy/n_estimated": float(self.choices.n_estimated),
            "cross_fitted/quality_gain": gain[0],
            "cross_fitted/quality_gain_low": gain[1],
            "cross_fitted/quality_gain_high": gain[2],
            "cross_fitted/effective_questions": effective,
            "cross_fitted/leaves_logging_policy": float(self.decision.promoted),
            "teacher/doubly_robust": float(self.doubly_robust),
            "teacher/mean_penalty": float(self.pessimism.penalties.mean()),
        }


def learn_from_log(
    logged: LoggedOutcomes,
    training: NDArray[np.bool_],
    learner: RouterLearner,
    cost: CostKind,
    seed: int,
    judged: NDArray[np.bool_] | None = None,
) -> LogLesson:
    """Learn from the outcomes of the requests that a mask selects; of the others, only the choices are read.

    Parameters
    ----------
    judged
        (n,) requests of the policy that is to be beaten, whose decision is made on them; None: all are.
    """
    rng = np.random.default_rng([seed, 7])
    prompts = logged.matrix.prompts
    spec, rows = _feature_rows(logged.matrix, training, learner)
    reads = TeacherColumns.fit(rows[training], spec.encoder_dim, logged.matrix.tasks[training], rng)
    columns = reads.transform(rows)
    folds = query_fold(prompts, _FOLDS, seed)
    judged = np.ones(len(training), dtype=bool) if judged is None else judged
    choices = logged_choices(logged, columns, folds, rng, judged)
    part, how, columns, folds = logged.rows(training), choices.rows(training), columns[training], folds[training]
    paid = None if cost == "none" else realised_cost(part.matrix, cost)
    teacher = teach(columns, part.matrix.quality, paid, part.chosen, how.propensity, folds)
    landmarks = reads.landmarks
    return LogLesson(
        targets=np.clip(teacher.quality.predict(columns), 0.0, 1.0),
        pessimism=fit_pessimism(rows[training], teacher.widths, landmarks.center, landmarks.scale, rng),
        decision=_decide(part, how, teacher, paid, folds, judged[training]),
        judged=judged[training],
        choices=choices,
        logged=LoggedQuality(part.matrix.quality, np.clip(teacher.out_of_fold, 0.0, 1.0)),
        doubly_robust=teacher.doubly_robust,
    )


def with_lesson(router: FittedRouter, training: LoggedOutcomes, lesson: LogLesson) -> FittedRouter:
    """Return a router fitted to the lesson's targets, with its pessimism, its decision and the outcomes of the log."""
    point = lesson.decision.point if lesson.decision.promoted else None
    return replace(
        router,
        pool=replace(router.pool, predictors=replace(router.pool.predictors, pessimism=lesson.pessimism)),
        operating_point=point or _staying(training, lesson),
        training=training.matrix,
    )


def _feature_rows(
    matrix: OutcomeMatrix, training: NDArray[np.bool_], learner: RouterLearner
) -> tuple[FeatureSpec, Rows]:
    """Return (n, d) features of the requests alone, without those of history: the first ones of a served router."""
    encoder = get_encoder(learner.encoder, learner.encoder_progress())
    contexts, read = matrix.contexts(learner.context), matrix.rows(training)
    spec = FeatureSpec.learn(encoder, read.prompts, list(compress(contexts, training)), learner.context)
    return spec, FeatureBuilder(spec, encoder).matrix(matrix.prompts, contexts, executor=learner.executor)


def _decide(
    part: LoggedOutcomes,
    choices: LoggedChoices,
    teacher: LogTeacher,
    cost: Floats | None,
    folds: NDArray[np.intp],
    judged: NDArray[np.bool_],
) -> LogDecision:
    expected = Expected(teacher.out_of_fold, failure=failure_rates(part, folds), caution=teacher.caution_out_of_fold)
    amounts = np.zeros_like(teacher.out_of_fold) if teacher.cost is None else teacher.cost.out_of_fold
    quality = logged_rounds(part, choices, part.matrix.quality, teacher.out_of_fold).rows(judged)
    paid = None if cost is None else logged_rounds(part, choices, cost, amounts).rows(judged)
    lowered = Predictions(part.matrix.models, quality_acted_on(expected)[judged], amounts[judged])
    return decide_from_log(lowered, quality, paid, folds[judged])


def _staying(training: LoggedOutcomes, lesson: LogLesson) -> OperatingPoint:
    """Return the nearest that a bundle has to the logging policy: one model, whose promotion nothing speaks for."""
    counts = np.bincount(training.chosen[lesson.judged], minlength=len(training.matrix.models))
    mostly = int(counts.argmax())
    if counts[mostly] < _MOSTLY * counts.sum():
        mostly = int(lesson.targets.mean(axis=0).argmax())
    return OperatingPoint("single", training.matrix.models[mostly], n_queries=training.matrix.n_queries)
