"""A simulated time of real outcomes with its shifts: a model degrades, a price falls, a new model arrives.

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

__all__ = ["BOOTSTRAP_DAYS", "START", "YEAR", "Day", "Scenario", "Year"]

Floats = NDArray[np.float64]

BOOTSTRAP_DAYS: Final = 10
"""Days of uniform choice before the first: what every policy begins with."""

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Scenario:
    """What happens, and when.

    Parameters
    ----------
    days, per_day
        How long it goes on, and requests a day.
    worth_usd
        What one would pay for a right answer.
    degrades, becomes, degrades_at
        From that day on, one model answers as another one does, which is itself no candidate.
    cheaper, price_falls_to, price_falls_at
        From that day on, a model costs this share of what it did; None: no price falls.
    arrives, arrives_at
        A model that is there from that day on only; None: all are there from the beginning.
    """

    days: int
    per_day: int
    worth_usd: float
    degrades: str
    becomes: str
    degrades_at: int
    cheaper: str | None = None
    price_falls_to: float = 1.0
    price_falls_at: int = 0
    arrives: str | None = None
    arrives_at: int = 0

    @property
    def shifts(self) -> dict[str, int]:
        """Shift -> its day, in order."""
        found = {"a model degrades": self.degrades_at}
        if self.cheaper is not None:
            found["a price falls"] = self.price_falls_at
        if self.arrives is not None:
            found["a new model arrives"] = self.arrives_at
        return dict(sorted(found.items(), key=lambda each: each[1]))


YEAR: Final = Scenario(
    days=365,
    per_day=400,
    worth_usd=0.0025,
    degrades="Meta-Llama-3_1-70B-Instruct",
    becomes="Meta-Llama-3_1-8B-Instruct",
    degrades_at=90,
    cheaper="gemini-1.5-pro-002",
    price_falls_to=0.5,
    price_falls_at=180,
    arrives="gemini-1.5-flash-002",
    arrives_at=270,
)
"""The year of the benchmark."""


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
        Outcomes of the candidates and of the model that one of them becomes, with features that all policies share.
    seed
        Of the requests.
    scenario
        What happens.
    """

    def __init__(self, log_set: LogSet, seed: int = 0, scenario: Scenario = YEAR) -> None:
        outcomes = log_set.outcomes
        self.scenario = scenario
        self.columns = log_set.columns
        self.kinds = outcomes.tasks
        # The model that the degraded one turns into is itself no candidate.
        names = [name for name in outcomes.models if name != scenario.becomes]
        self.models = tuple(names)
        pick = [outcomes.models.index(name) for name in names]
        self._quality = outcomes.quality[:, pick]
        self._cost_usd = outcomes.cost_usd[:, pick]
        source = outcomes.models.index(scenario.becomes)
        self._degraded = (outcomes.quality[:, source], outcomes.cost_usd[:, source])
        self.degrades = self.models.index(scenario.degrades)
        self.arrives = None if scenario.arrives is None else self.models.index(scenario.arrives)
        self._cheaper = None if scenario.cheaper is None else self.models.index(scenario.cheaper)
        numbers: dict[str, int] = {}
        self.question = np.array(
            [numbers.setdefault(normalise_question(each), len(numbers)) for each in outcomes.prompts], dtype=np.intp
        )
        self.n_queries = outcomes.n_queries
        self._rng = np.random.default_rng([seed, 11])
        self._asked = self._rng.integers(self.n_queries, size=(scenario.days + BOOTSTRAP_DAYS, scenario.per_day))

    def day(self, number: int) -> Day:
        """Return the requests of a day, the same ones every time."""
        return Day(number, self._asked[number + BOOTSTRAP_DAYS])

    def quality(self, day: int) -> Floats:
        """Return (n, m) quality of every model on every query, as it is on a day."""
        if day < self.scenario.degrades_at:
            return self._quality
        changed = self._quality.copy()
        changed[:, self.degrades] = self._degraded[0]
        return changed

    def price_factor(self, day: int) -> Floats:
        """Return (m,) what prices are, in units of those of the first day."""
        factors = np.ones(len(self.models))
        if self._cheaper is not None and day >= self.scenario.price_falls_at:
            factors[self._cheaper] = self.scenario.price_falls_to
        return factors

    def base_cost_usd(self, day: int) -> Floats:
        """Return (n, m) costs at the prices of the first day."""
        if day < self.scenario.degrades_at:
            return self._cost_usd
        changed = self._cost_usd.copy()
        changed[:, self.degrades] = self._degraded[1]
        return changed

    def worth(self, day: int) -> Floats:
        """Return (n, m) quality less cost over the willingness to pay, at the day's prices."""
        return self.quality(day) - self.base_cost_usd(day) * self.price_factor(day) / self.scenario.worth_usd

    def cost_in_quality(self, cost_usd: Floats, day: int) -> Floats:
        """Return (n, m) predicted costs at the first day's prices in units of quality, at the day's prices."""
        return np.asarray(cost_usd * self.price_factor(day) / self.scenario.worth_usd)

    def available(self, day: int) -> NDArray[np.bool_]:
        """Return (m,) which models there are."""
        there = np.ones(len(self.models), dtype=bool)
        if self.arrives is not None:
            there[self.arrives] = day >= self.scenario.arrives_at
        return there

    def regime(self, day: int) -> int:
        """Return how many shifts have happened."""
        return sum(day >= each for each in self.scenario.shifts.values())
