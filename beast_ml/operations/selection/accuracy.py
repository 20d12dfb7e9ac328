"""How often what was chosen was near the best, by the best evidence there is later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.evaluation.off_policy.estimators import PerRound
from beast_ml.evaluation.off_policy.intervals import Questions, bootstrap, resample
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds

__all__ = ["GroupAccuracy", "accuracy_by_group", "exact_regret", "near_best", "regret_of_log"]

_RESAMPLES: Final = 1000
_LEAST: Final = 20


@dataclass(frozen=True)
class GroupAccuracy:
    """Selection accuracy in one group of requests.

    Parameters
    ----------
    field, value
        What the group is: "all", "tenant", "kind" or a context key, and its value.
    n
        Requests.
    accuracy, accuracy_low, accuracy_high
        Share whose chosen model is within epsilon of the best one, with 95% interval.
    regret, regret_low, regret_high
        Mean quality lost to the best model, with 95% interval, within the -1..1 that quality allows; below 0 where
        what was predicted best does worse than what was chosen.
    regret_told
        Whether the evidence tells it: False where the estimate or its interval reached beyond what is possible, so
        that a few heavily weighted requests make it.
    """

    field: str
    value: str
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    regret: float
    regret_low: float
    regret_high: float
    regret_told: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def exact_regret(quality: Floats, chosen: NDArray[np.intp]) -> Floats:
    """Return (n,) quality lost to the best model, where the outcome of every model is known; NaN where one is not.

    Examples
    --------
    >>> import numpy as np
    >>> exact_regret(np.array([[1.0, 0.4], [0.0, 1.0]]), np.array([0, 0])).tolist()
    [0.0, 1.0]
    """
    return np.asarray(quality.max(axis=1) - quality[np.arange(len(chosen)), chosen])


def regret_of_log(rounds: LoggedRounds, labelled: Floats, candidates: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return (n,) predicted regret, and (n,) values whose mean estimates the log's regret doubly robust.

    The best model is the one predicted to be, by fits that did not see the question; what it would have got there is
    the prediction, corrected by the importance-weighted outcomes of the requests that it did answer. A model predicted
    best by mistake is no more than one that may be better: the estimate is a lower bound of the regret to a model that
    knows everything, and what a router could have done with what can be known.

    Parameters
    ----------
    labelled
        (n,) probability that the quality is known.
    candidates
        (n, m) which models could be chosen.
    """
    everyone = np.arange(len(rounds.chosen))
    predicted = np.where(candidates, rounds.predicted, -np.inf)
    best = predicted.argmax(axis=1)
    shown = np.where(rounds.observed, 1.0 / labelled, 0.0)
    residual = np.where(rounds.observed, rounds.reward - rounds.predicted_of_chosen, 0.0)
    gap = predicted[everyone, best] - rounds.predicted_of_chosen
    return gap, gap + (rounds.weights(best) - 1.0) * shown * residual


def near_best(regret: Floats, epsilon: float) -> Floats:
    """Return (n,) 1.0 where a regret is within epsilon, else 0.0.

    Raises
    ------
    InputError
        If epsilon is not in 0..1.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise InputError(f"`epsilon` == {epsilon}, must be in 0..1, as quality is")
    return (regret <= epsilon + 1e-12).astype(float)


def accuracy_by_group(
    near: Floats,
    regret: Floats,
    question: NDArray[np.intp],
    groups: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    n_resamples: int = _RESAMPLES,
) -> list[GroupAccuracy]:
    """Return the accuracy of all requests, and of each group that has at least twenty, the largest first.

    Parameters
    ----------
    near, regret
        (n,) each.
    question
        (n,) which question a request asks: the units that are resampled.
    groups
        Field -> (n,) value of each request, "" where it has none.
    """
    found = [_group("all", "", near, regret, question, np.ones(len(near), dtype=bool), rng, n_resamples)]
    for field, values in groups.items():
        names, index, counts = np.unique(np.array(values, dtype=str), return_inverse=True, return_counts=True)
        found += [
            _group(field, str(names[j]), near, regret, question, index == j, rng, n_resamples)
            for j in np.argsort(-counts, kind="stable")
            if counts[j] >= _LEAST and names[j]
        ]
    return found


def _group(
    field: str,
    value: str,
    near: Floats,
    regret: Floats,
    question: NDArray[np.intp],
    rows: NDArray[np.bool_],
    rng: np.random.Generator,
    n_resamples: int,
) -> GroupAccuracy:
    questions = Questions.of(question[rows])
    ones = np.ones(int(rows.sum()))
    each = [PerRound(near[rows], ones, 0.0), PerRound(regret[rows], ones, 0.0)]
    accuracy, lost = bootstrap(each, questions, resample(rng, questions.n_units, n_resamples))
    low, high = max(accuracy[0], 0.0), min(accuracy[1], 1.0)
    found = np.array([each[1].value, *lost])
    told = bool((np.abs(found) <= 1.0).all())
    mean, least, most = np.clip(found, -1.0, 1.0).tolist()
    return GroupAccuracy(field, value, int(rows.sum()), each[0].value, low, high, mean, least, most, told)
