"""Logs of a router that explores while it serves: learnt anew as its log grows, deciding as a served one does.

Three ways to explore: ``uniform``, every model equally on every request, whatever that costs; ``epsilon``, the same on
a tenth of the requests, the router's choice on the others; ``evidence``, whoever may be the best by what is known
(`beast_ml.policy.exploration`), at the loss per request which epsilon is expected to cost on the same requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.partial_feedback import LogSet
from beast_ml.logs.splits import query_fold
from beast_ml.policy.exploration import Exploration, explore
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.pessimism import PESSIMISM_Z
from beast_ml.predictors.pooled_ridge import RidgePrior, fit_pooled_ridge, known_out_of_fold

__all__ = ["EPSILON", "FIRST", "WAYS", "ServedLog", "Way", "serve"]

Way = Literal["uniform", "epsilon", "evidence"]
"""How a router explores while it serves."""

WAYS: Final[tuple[Way, ...]] = ("uniform", "epsilon", "evidence")
"""Every way, in the order of reports."""

EPSILON: Final = 0.1
"""Share of the requests that epsilon explores on."""

FIRST: Final = 0.1
"""Share of the requests that every model answers equally often, whichever way: there is nothing yet to go by."""

_LEARNT_AT: Final = (FIRST, 0.2, 0.3, 0.6)
_FOLDS: Final = 5
_PRIOR: Final = RidgePrior(7.5, 25.0)
_MOST: Final = 0.9
_LEAST: Final = 0.01
_TRIED_OUT: Final = 300
_HALVINGS: Final = 10


@dataclass(frozen=True)
class ServedLog:
    """A log, in order of time.

    Parameters
    ----------
    asked
        (n,) queries of the set.
    chosen, propensity
        (n,) who answered, and how probable that was.
    told
        (n,) whether the answer got a label.
    given_up
        Quality that exploring truly gave up a request after the first tenth, against the choice of the router as far as
        it had learnt; costs counted at the willingness to pay.
    """

    asked: NDArray[np.intp]
    chosen: NDArray[np.intp]
    propensity: Floats
    told: NDArray[np.bool_]
    given_up: float

    def outcomes(self, quality: Floats, n: int) -> Floats:
        """Return what the first n requests show of the set's (N, m) quality; NaN where nothing."""
        seen = np.full((n, quality.shape[1]), np.nan)
        rows = np.flatnonzero(self.told[:n])
        seen[rows, self.chosen[rows]] = quality[self.asked[rows], self.chosen[rows]]
        return seen


def serve(
    log_set: LogSet, way: Way, cost_usd: Floats, willingness: float, feedback: float, rng: np.random.Generator
) -> ServedLog:
    """Return the log of one pass over the training questions, in random order.

    Parameters
    ----------
    cost_usd
        (N, m) costs that the router expects.
    willingness
        What a unit of quality is worth, USD.
    feedback
        Share of the requests whose answer gets a label.
    """
    asked = rng.permutation(np.flatnonzero(~log_set.test))
    n, quality = len(asked), log_set.outcomes.quality
    told, uniforms = rng.random(n) < feedback, rng.random(n)
    m = quality.shape[1]
    true_worth = quality - log_set.outcomes.cost_usd / willingness
    log = ServedLog(asked, np.zeros(n, dtype=np.intp), np.ones(n), told, 0.0)
    ends = [round(share * n) for share in (*_LEARNT_AT, 1.0)]
    lost = 0.0
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        rows = np.arange(start, end)
        probabilities = np.full((len(rows), m), 1.0 / m)
        if start:
            probabilities, first = _served(log_set, log, start, rows, way, cost_usd / willingness)
            worth = true_worth[asked[rows]]
            lost += float((worth[np.arange(len(rows)), first] - (probabilities * worth).sum(axis=1)).sum())
        begun = probabilities.cumsum(axis=1)
        log.chosen[rows] = (begun / begun[:, -1:] <= uniforms[rows, None]).sum(axis=1)
        log.propensity[rows] = probabilities[np.arange(len(rows)), log.chosen[rows]]
    return ServedLog(asked, log.chosen, log.propensity, told, lost / (n - ends[0]))


def _served(
    log_set: LogSet, log: ServedLog, n_known: int, rows: NDArray[np.intp], way: Way, cost: Floats
) -> tuple[Floats, NDArray[np.intp]]:
    """Return (k, m) probabilities of a router that has learnt from the first requests, on later ones, and its choice.

    ``cost`` has what is expected of the whole set, in quality.
    """
    known = log.asked[:n_known]
    columns, seen = log_set.columns[known], log.outcomes(log_set.outcomes.quality, n_known)
    folds = query_fold(log_set.outcomes.rows(known).prompts, _FOLDS, 0)
    ridge = fit_pooled_ridge(columns, seen, _PRIOR, known_out_of_fold(columns, seen, folds, _PRIOR).noise)
    now = log_set.columns[log.asked[rows]]
    width = ridge.spread(now)
    mean = ridge.predict(now) - cost[log.asked[rows]]
    first = (mean - PESSIMISM_Z * width).argmax(axis=1)
    each, m = np.arange(len(rows)), mean.shape[1]
    probabilities = np.zeros(mean.shape)
    if way != "evidence":
        rate = EPSILON if way == "epsilon" else 1.0
        probabilities += rate / m
        probabilities[each, first] += 1.0 - rate
        return probabilities, first
    loss = np.maximum(mean[each, first][:, None] - mean, 0.0)
    spent = EPSILON * float(loss.mean())
    how = _at_cost(spent, mean, width, first, loss)
    for row, tried in enumerate(explore(how, mean, width, first)):
        for j, propensity in tried:
            probabilities[row, j] = propensity
    probabilities[each, first] = 1.0 - probabilities.sum(axis=1)
    return probabilities, first


def _at_cost(spent: float, mean: Floats, width: Floats, first: NDArray[np.intp], loss: Floats) -> Exploration:
    """Return the exploration that is expected to give up so much a request, or as much as it can."""
    some = slice(0, _TRIED_OUT)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        how = Exploration((low + high) / 2, None, _MOST, _LEAST)
        tried = explore(how, mean[some], width[some], first[some])
        given_up = sum(p * loss[row, j] for row, each in enumerate(tried) for j, p in each) / len(tried)
        low, high = (low, how.max_loss) if given_up > spent else (how.max_loss, high)
    return Exploration(high, None, _MOST, _LEAST)
