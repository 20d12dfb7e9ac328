"""What each context field buys: routing that reads it against routing that does not, cross-fitted, at equal cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.estimators import PerRound
from beast_ml.evaluation.off_policy.intervals import Questions, bootstrap, resample
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds
from beast_ml.policy.utility import Predictions, choose, willingness_grid
from beast_ml.predictors.pooled_ridge import RidgePrior, predict_out_of_fold

__all__ = ["ContextValue", "Worth", "context_columns", "value_of_context", "worth_on_log"]

Worth = Callable[[NDArray[np.intp]], Floats]
"""What decisions by some rows are worth on each."""

_MOST_VALUES: Final = 40
_LEAST_OF_VALUE: Final = 10
_PRIOR: Final = RidgePrior(8.0, 25.0)
_GRID: Final = 96
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class ContextValue:
    """What one field buys.

    Parameters
    ----------
    field
        The context key; "everything" for all of them together.
    without
        Quality of the routing that reads the text alone.
    gain, gain_low, gain_high
        Quality with the field minus without, at equal cost, with 95% interval.
    gain_of_gap
        The gain as a share of what routing by text gains over the best single model; None where that gains nothing.
    n_values
        Different values that are read.
    """

    field: str
    without: float
    gain: float
    gain_low: float
    gain_high: float
    gain_of_gap: float | None
    n_values: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def context_columns(values: Sequence[str]) -> Floats:
    """Return (n, k) indicators of a field's values, the most frequent ones, at least ten requests each."""
    names, index, counts = np.unique(np.array(values, dtype=str), return_inverse=True, return_counts=True)
    frequent = [j for j in np.argsort(-counts, kind="stable") if counts[j] >= _LEAST_OF_VALUE and names[j]]
    return (
        np.stack([index == j for j in frequent[:_MOST_VALUES]], axis=1).astype(float)
        if frequent
        else (np.zeros((len(values), 0)))
    )


def value_of_context(
    columns: Floats,
    fields: Mapping[str, Sequence[str]],
    values: Floats,
    cost: Floats,
    spent: float,
    worth: Worth,
    question: NDArray[np.intp],
    folds: NDArray[np.intp],
    rng: np.random.Generator,
    n_resamples: int = _RESAMPLES,
) -> list[ContextValue]:
    """Return what each field, and all of them together, add to routing by the text alone.

    Every router is a pooled ridge on the other folds' outcomes, held to the same mean cost, as predicted, so that no
    field buys quality with money. A field of fewer than two frequent values adds nothing, and is left out.

    Parameters
    ----------
    columns
        (n, k) of the requests' texts.
    fields
        Name -> (n,) values.
    values
        (n, m) qualities to learn from, NaN where not known: one a request on a log, all on full-information outcomes.
    cost
        (n, m) predicted costs.
    spent
        Mean cost of a request that no router may exceed.
    worth
        What decisions are worth: (n,) values whose mean is that of their quality.
    question, folds
        (n,) equal questions share a number, and a fold.
    """
    read = {name: context_columns(each) for name, each in fields.items()}
    read = {name: each for name, each in read.items() if each.shape[1] > 1}
    if len(read) > 1:
        read["everything"] = np.hstack(list(read.values()))
    models = tuple(map(str, range(values.shape[1])))
    plain = Predictions(models, predict_out_of_fold(columns, values, folds, _PRIOR), cost)
    base = worth(_at_cost(plain, spent))
    alone = [worth(np.full(len(base), j, dtype=np.intp)).mean() for j in range(len(models))]
    gap = float(base.mean() - max(alone))
    questions = Questions.of(question)
    found = []
    for name, each in read.items():
        with_it = Predictions(models, predict_out_of_fold(np.hstack([columns, each]), values, folds, _PRIOR), cost)
        row = PerRound(worth(_at_cost(with_it, spent)) - base, np.ones(len(base)), 0.0)
        low, high = bootstrap([row], questions, resample(rng, questions.n_units, n_resamples))[0]
        share = row.value / gap if gap > 0 else None
        found.append(ContextValue(name, float(base.mean()), row.value, low, high, share, each.shape[1]))
    return found


def worth_on_log(quality: LoggedRounds, labelled: Floats) -> Worth:
    """Return what gives (n,) doubly robust values of decisions; without a label, the prediction.

    Parameters
    ----------
    labelled
        (n,) probability that the quality is known.
    """
    shown = np.where(quality.observed, 1.0 / labelled, 0.0)
    residual = np.where(quality.observed, quality.reward - quality.predicted_of_chosen, 0.0)

    def worth(decisions: NDArray[np.intp]) -> Floats:
        return np.asarray(quality.expected(decisions) + quality.weights(decisions) * shown * residual)

    return worth


def _at_cost(predictions: Predictions, spent: float) -> NDArray[np.intp]:
    """Return the decisions of the highest willingness to pay that spends no more."""
    best = choose(predictions, 0.0)
    for willingness in willingness_grid(predictions, _GRID)[:-1]:
        decisions = choose(predictions, float(willingness))
        if predictions.cost[np.arange(len(decisions)), decisions].mean() > spent * (1 + 1e-9):
            break
        best = decisions
    return best
