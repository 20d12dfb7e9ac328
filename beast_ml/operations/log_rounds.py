"""A log as what off-policy methods read: choices with their probabilities, known or estimated, rewards, questions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.rounds import LoggedRounds
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.splits import question_numbers
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.logging_policy import LoggingPolicyReport, estimate_logging_policy
from beast_ml.predictors.shrinkage import task_means

__all__ = ["LoggedChoices", "failure_rates", "logged_choices", "logged_rounds"]


@dataclass(frozen=True)
class LoggedChoices:
    """How the policy that wrote a log chose.

    Parameters
    ----------
    probabilities
        (n, m) estimated probability of every model, out of fold.
    propensity
        (n,) probability of the choice: as logged, else estimated.
    n_estimated
        Requests whose propensity is an estimate.
    report
        How good the estimates are.
    """

    probabilities: Floats
    propensity: Floats
    n_estimated: int
    report: LoggingPolicyReport

    def rows(self, kept: NDArray[np.bool_]) -> LoggedChoices:
        """Return those of the requests that a mask selects."""
        return replace(self, probabilities=self.probabilities[kept], propensity=self.propensity[kept])


def logged_choices(
    logged: LoggedOutcomes,
    columns: Floats,
    folds: NDArray[np.intp],
    rng: np.random.Generator,
    judged: NDArray[np.bool_] | None = None,
) -> LoggedChoices:
    """Return the choices of a log; propensities that it lacks are estimated from (n, k) columns of its requests.

    One that cannot be a probability counts as lacking.

    Parameters
    ----------
    judged
        (n,) requests of one policy, which is estimated from its own choices, and which the report is of; None: all.
    """
    n, m = len(logged.chosen), len(logged.matrix.models)
    probabilities, propensity = np.empty((n, m)), np.empty(n)
    of_policy = np.ones(n, dtype=bool) if judged is None else judged
    reports = []
    for part in (of_policy, ~of_policy):
        if part.any():
            found = estimate_logging_policy(columns[part], logged.chosen[part], m, folds[part], rng)
            probabilities[part], propensity[part] = found.probabilities, found.propensity(logged.chosen[part])
            reports.append(found.report)
    known = (logged.propensity > 0.0) & (logged.propensity <= 1.0)
    propensity = np.where(known, logged.propensity, propensity)
    return LoggedChoices(probabilities, propensity, int((~known).sum()), reports[0])


def logged_rounds(logged: LoggedOutcomes, choices: LoggedChoices, values: Floats, predicted: Floats) -> LoggedRounds:
    """Return the log as rounds of one value; a failure of the chosen model has no quality and is left out.

    Parameters
    ----------
    values, predicted
        (n, m) outcomes, and what was predicted of them without having seen them.
    """
    reward = values[np.arange(len(logged.chosen)), logged.chosen]
    question = question_numbers(logged.matrix.prompts)
    return LoggedRounds(logged.chosen, choices.propensity, reward, predicted, question, choices.probabilities)


def failure_rates(logged: LoggedOutcomes, folds: NDArray[np.intp]) -> Floats:
    """Return (n, m) how often each model failed on the requests of other folds, shrunk as by 20 calls to the log's."""
    failed = logged.failures()
    rates, together = np.empty(failed.shape), np.zeros(len(failed), dtype=np.intp)
    for fold in np.unique(folds):
        held = folds == fold
        rates[held] = task_means(failed[~held], together[~held], 1)[0]
    return rates
