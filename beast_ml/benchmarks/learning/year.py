"""A simulated year of real outcomes with three shifts: a model degrades, a price falls, a new model arrives.

Every question's outcome is known for every model, so what any policy would have got on any day is known, too. Worth is
quality less cost over the willingness to pay: what one would pay for a right answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.partial_feedback import LogSet
from beast_ml.logs.splits import normalise_question

__all__ = ["BOOTSTRAP_DAYS", "DAYS", "PER_DAY", "SHIFTS", "START", "YEAR_POOL", "Day", "Year"]

Floats = NDArray[np.float64]

DAYS: Final = 365
"""Length of the year."""

PER_DAY: Final = 400
"""Requests of a day."""

BOOTSTRAP_DAYS: Final = 10
"""Days of uniform choice before the first: what every policy begins with."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Its first moment."""

SHIFTS: Final = {"a model degrades": 90, "a price falls": 180, "a new model arrives": 270}
"""Shift -> its day."""

_DEGRADES: Final = "Meta-Llama-3_1-70B-Instruct"
_BECOMES: Final = "Meta-Llama-3_1-8B-Instruct"
_CHEAPER: Final = "gemini-1.5-pro-002"
_PRICE_FALLS_TO: Final = 0.5
_ARRIVES: Final = "gemini-1.5-flash-002"
_WORTH_USD: Final = 0.0025

YEAR_POOL: Final = (
    _DEGRADES,
    _BECOMES,
    "Phi-3-mini-4k-instruct",
    "Qwen1.5-110B",
    _ARRIVES,
    _CHEAPER,
)
"""The models of the year."""


@dataclass(frozen=True)
class Day:
    """The requests of a day.

    Parameters
    ----------
    number
        The day; below zero before the policies begin.
    queries
        (n,) rows of the outcomes, in order of arrival.
    """

    number: int
    queries: NDArray[np.intp]

    @property
    def at(self) -> datetime:
        """When it begins."""
        return START + timedelta(days=self.number)


class Year:
    """The world that policies are tried in.

    Parameters
    ----------
    log_set
        Outcomes of `YEAR_POOL`, with features that all policies share.
    seed
        Of the requests.
    """

    def __init__(self, log_set: LogSet, seed: int = 0) -> None:
        outcomes = log_set.outcomes
        self.columns = log_set.columns
        self.kinds = outcomes.tasks
        # The model that the degraded one turns into is itself no candidate.
        names = [name for name in outcomes.models if name != _BECOMES]
        self.models = tuple(names)
        pick = [outcomes.models.index(name) for name in names]
        self._quality = outcomes.quality[:, pick]
        self._cost_usd = outcomes.cost_usd[:, pick]
        source = outcomes.models.index(_BECOMES)
        self._degraded = (outcomes.quality[:, source], outcomes.cost_usd[:, source])
        self.degrades, self.arrives = self.models.index(_DEGRADES), self.models.index(_ARRIVES)
        self._cheaper = self.models.index(_CHEAPER)
        numbers: dict[str, int] = {}
        self.question = np.array(
            [numbers.setdefault(normalise_question(each), len(numbers)) for each in outcomes.prompts], dtype=np.intp
        )
        self.n_queries = outcomes.n_queries
        self._rng = np.random.default_rng([seed, 11])
        self._asked = self._rng.integers(self.n_queries, size=(DAYS + BOOTSTRAP_DAYS, PER_DAY))

    def day(self, number: int) -> Day:
        """Return the requests of a day, the same ones every time."""
        return Day(number, self._asked[number + BOOTSTRAP_DAYS])

    def quality(self, day: int) -> Floats:
        """Return (n, m) quality of every model on every query, as it is on a day."""
        if day < SHIFTS["a model degrades"]:
            return self._quality
        changed = self._quality.copy()
        changed[:, self.degrades] = self._degraded[0]
        return changed

    def price_factor(self, day: int) -> Floats:
        """Return (m,) what prices are, in units of those of the first day."""
        factors = np.ones(len(self.models))
        if day >= SHIFTS["a price falls"]:
            factors[self._cheaper] = _PRICE_FALLS_TO
        return factors

    def base_cost_usd(self, day: int) -> Floats:
        """Return (n, m) costs at the prices of the first day."""
        if day < SHIFTS["a model degrades"]:
            return self._cost_usd
        changed = self._cost_usd.copy()
        changed[:, self.degrades] = self._degraded[1]
        return changed

    def worth(self, day: int) -> Floats:
        """Return (n, m) quality less cost over the willingness to pay, at the day's prices."""
        return self.quality(day) - self.base_cost_usd(day) * self.price_factor(day) / _WORTH_USD

    def cost_in_quality(self, cost_usd: Floats, day: int) -> Floats:
        """Return (n, m) predicted costs at the first day's prices in units of quality, at the day's prices."""
        return np.asarray(cost_usd * self.price_factor(day) / _WORTH_USD)

    def available(self, day: int) -> NDArray[np.bool_]:
        """Return (m,) which models there are."""
        there = np.ones(len(self.models), dtype=bool)
        there[self.arrives] = day >= SHIFTS["a new model arrives"]
        return there

    def regime(self, day: int) -> int:
        """Return how many shifts have happened."""
        return sum(day >= each for each in SHIFTS.values())
