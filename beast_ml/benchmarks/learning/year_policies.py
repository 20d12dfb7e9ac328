"""Policies of the simulated year: what they predict of every query, how they explore, and how they are learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.learning.year import Year
from beast_ml.predictors.log_teacher import LogTeacher, teach
from beast_ml.predictors.pooled_ridge import RidgePrior, fit_pooled_ridge

__all__ = ["EXPLORED", "MIN_OUTCOMES", "Fitted", "YearLog", "exploring", "fit_cautiously", "fit_naively", "informed"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

EXPLORED: Final = 0.1
"""Share of the requests on which every policy but ParetoBandit, which explores by itself, chooses any model."""

MIN_OUTCOMES: Final = 30
"""Outcomes of a model before it is judged by them."""

_TEMPERATURE: Final = 0.15  # so much less worth, and a model is tried a third as often
_FOLDS: Final = 5
_PRIOR: Final = RidgePrior(10.0, 25.0)
_LEAST_COST: Final = 1e-9


@dataclass
class YearLog:
    """What a policy has seen, in order of time: growing columns of one outcome a request.

    Parameters
    ----------
    n_models
        Candidates of the whole year.
    """

    n_models: int

    def __post_init__(self) -> None:
        self.day: Indices = np.zeros(0, dtype=np.intp)
        self.query: Indices = np.zeros(0, dtype=np.intp)
        self.chosen: Indices = np.zeros(0, dtype=np.intp)
        self.propensity: Floats = np.zeros(0)
        self.quality: Floats = np.zeros(0)
        self.cost_usd: Floats = np.zeros(0)  # at the first day's prices: tokens, as it were

    def add(
        self, day: int, query: Indices, chosen: Indices, propensity: Floats, quality: Floats, cost_usd: Floats
    ) -> None:
        """Take a day's requests in."""
        self.day = np.concatenate((self.day, np.full(len(query), day)))
        self.query = np.concatenate((self.query, query))
        self.chosen = np.concatenate((self.chosen, chosen))
        self.propensity = np.concatenate((self.propensity, propensity))
        self.quality = np.concatenate((self.quality, quality))
        self.cost_usd = np.concatenate((self.cost_usd, cost_usd))

    def latest(self, most: int, before: int, since: dict[int, int] | None = None) -> Indices:
        """Return the last so many rows before a day; of some models only those since a day of their own."""
        kept = self.day < before
        for model, day in (since or {}).items():
            kept &= (self.chosen != model) | (self.day >= day)
        return np.flatnonzero(kept)[-most:]

    def counts(self) -> Floats:
        """Return (m,) outcomes of each model."""
        return np.bincount(self.chosen, minlength=self.n_models).astype(float)

    def wide(self, rows: Indices, values: Floats) -> Floats:
        """Return (n, m) values of the chosen models, NaN elsewhere."""
        spread = np.full((len(rows), self.n_models), np.nan)
        spread[np.arange(len(rows)), self.chosen[rows]] = values[rows]
        return spread


@dataclass(frozen=True)
class Fitted:
    """A policy version.

    Parameters
    ----------
    expected, acted_on
        (n, m) quality of every query: as expected, and what decisions go by.
    cost_usd
        (n, m) expected costs at the first day's prices.
    known
        (m,) which models it knows.
    rows, out_of_fold
        Of the log: what it learnt from, and what fits without the row's fold say of it: quality acted on, expected
        quality and cost; None for policies that nobody judges.
    """

    expected: Floats
    acted_on: Floats
    cost_usd: Floats
    known: NDArray[np.bool_]
    rows: Indices | None = None
    out_of_fold: tuple[Floats, Floats, Floats] | None = None

    def decisions(self, year: Year, day: int) -> Indices:
        """Return (n,) its choice on every query at a day's prices, without exploration."""
        worth = self.acted_on - year.cost_in_quality(self.cost_usd, day)
        worth = np.where(self.known & year.available(day), worth, -np.inf)
        return np.asarray(worth.argmax(axis=1))


def exploring(year: Year, day: int, fitted: Fitted, queries: Indices, outcomes: Floats) -> Floats:
    """Return (n, m) probabilities of a policy on these queries: its choice, but on a tenth of them any model.

    Which one, goes by how good it may be on the query, as expected, and by how little is known of it: a model without
    enough outcomes may be as good as any.

    Parameters
    ----------
    outcomes
        (m,) of each model, as far as they are still true.
    """
    decisions, there = fitted.decisions(year, day)[queries], year.available(day)
    worth = (fitted.expected - year.cost_in_quality(fitted.cost_usd, day))[queries]
    best = np.where(there & fitted.known, worth, -np.inf).max(axis=1, keepdims=True)
    below = np.where(fitted.known & (outcomes >= MIN_OUTCOMES), worth - best, 0.0)
    weights = there * np.exp(below / _TEMPERATURE) / np.sqrt(10.0 + outcomes)
    probabilities = EXPLORED * weights / weights.sum(axis=1, keepdims=True)
    probabilities[np.arange(len(queries)), decisions] += 1.0 - EXPLORED
    return np.asarray(probabilities)


def fit_cautiously(year: Year, log: YearLog, rows: Indices) -> Fitted:
    """Return what the loop learns: cross-fitted, and acting on lower bounds."""
    columns, quality, cost = year.columns[log.query[rows]], log.wide(rows, log.quality), log.wide(rows, log.cost_usd)
    known = np.isfinite(quality).sum(axis=0) >= MIN_OUTCOMES
    quality, cost = quality[:, known], cost[:, known]
    labelled = np.isfinite(quality).any(axis=1)
    rows, columns, quality, cost = rows[labelled], columns[labelled], quality[labelled], cost[labelled]
    position = np.cumsum(known) - 1
    folds = year.question[log.query[rows]] % _FOLDS
    teacher = teach(columns, quality, cost, position[log.chosen[rows]], log.propensity[rows], folds)
    assert teacher.cost is not None  # noqa: S101  every row has a cost
    return Fitted(
        expected=_full(known, teacher.quality.predict(year.columns)),
        acted_on=_full(known, teacher.lower(year.columns)),
        cost_usd=_full(known, teacher.cost.predict(year.columns)),
        known=known,
        rows=rows,
        out_of_fold=_out_of_fold(known, teacher),
    )


def fit_naively(year: Year, log: YearLog, rows: Indices) -> Fitted:
    """Return a ridge of the outcomes that were seen, acting on what it expects."""
    columns = year.columns[log.query[rows]]
    quality, cost = log.wide(rows, log.quality), log.wide(rows, log.cost_usd)
    known = np.isfinite(quality).sum(axis=0) >= MIN_OUTCOMES
    expected = fit_pooled_ridge(columns, quality, _PRIOR).predict(year.columns)
    logs = fit_pooled_ridge(columns, np.log(np.maximum(cost, _LEAST_COST)), _PRIOR).predict(year.columns)
    return Fitted(expected, expected, np.exp(logs), known)


def informed(year: Year, day: int) -> Fitted:
    """Return what the same family learns from every outcome of every model, as it is on a day: what can be reached."""
    quality, cost, known = year.quality(day), year.base_cost_usd(day), year.available(day)
    expected = fit_pooled_ridge(year.columns, quality, _PRIOR).predict(year.columns)
    logs = fit_pooled_ridge(year.columns, np.log(np.maximum(cost, _LEAST_COST)), _PRIOR).predict(year.columns)
    return Fitted(expected, expected, np.exp(logs), known)


def _out_of_fold(known: NDArray[np.bool_], teacher: LogTeacher) -> tuple[Floats, Floats, Floats]:
    assert teacher.cost is not None  # noqa: S101  as above
    parts = (teacher.lower_out_of_fold, teacher.out_of_fold, teacher.cost.out_of_fold)
    lower, expected, cost = (_full(known, part) for part in parts)
    return lower, expected, cost


def _full(known: NDArray[np.bool_], values: Floats) -> Floats:
    """Return values of the known models as columns of all, zero elsewhere."""
    full = np.zeros((len(values), len(known)))
    full[:, known] = values
    return full
