"""ParetoBandit in the simulated year, online: it learns from every outcome as it comes, by its own code."""

from __future__ import annotations

import importlib.util
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.learning.year import Day, Year
from beast_ml.benchmarks.learning.year_policies import YearLog
from beast_ml.benchmarks.peers.paretobandit import Components
from beast_ml.errors import MissingExtraError

__all__ = ["OnlineBandit"]

Floats = NDArray[np.float64]

_ALPHA: Final = 0.01
_FORGETTING: Final = 0.997
"""Both are the defaults of its router."""


class OnlineBandit:
    """The package's policy, with its forgetting, on the features that all policies share.

    Its reward is quality; what it holds against a model is its mean cost so far in units of quality, at the day's
    prices, so it weighs cost as the others do.

    Parameters
    ----------
    year
        The world.
    log
        What was seen before the first day; it learns from that, too.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """

    def __init__(self, year: Year, log: YearLog) -> None:
        if importlib.util.find_spec("pareto_bandit") is None:
            raise MissingExtraError("ParetoBandit as a peer", "peers")
        from pareto_bandit import DisjointLinUCBPolicy

        self._year = year
        columns = year.columns.astype(np.float32)
        self._contexts = Components(columns)(columns)
        first = [str(j) for j in np.flatnonzero(year.available(0))]
        self._policy = DisjointLinUCBPolicy(
            first, dim=self._contexts.shape[1], alpha=_ALPHA, forgetting_factor=_FORGETTING, seed=0
        )
        self._spent, self._n = np.zeros(len(year.models)), np.zeros(len(year.models))
        for query, chosen, quality, cost in zip(log.query, log.chosen, log.quality, log.cost_usd, strict=True):
            self._learn(int(query), int(chosen), float(quality), float(cost))

    def serve(self, day: Day) -> Floats:
        """Decide a day's requests one after the other, and return (n,) what each is worth."""
        for j in np.flatnonzero(self._year.available(day.number)):
            self._policy.add_arm(str(j))
        worth, quality, cost = (
            of(day.number) for of in (self._year.worth, self._year.quality, self._year.base_cost_usd)
        )
        got = np.empty(len(day.queries))
        for i, query in enumerate(day.queries.tolist()):
            name, _ = self._policy.select_arm(self._contexts[query], cost_penalties=self._penalties(day.number))
            chosen = int(name)
            got[i] = worth[query, chosen]
            self._learn(query, chosen, float(quality[query, chosen]), float(cost[query, chosen]))
        return got

    def decisions(self, day: int) -> NDArray[np.intp]:
        """Return (n,) what it would choose on every query, without its bonus for what it does not know."""
        penalties = self._penalties(day)
        scores = np.full((len(self._contexts), len(self._year.models)), -np.inf)
        for name in self._policy.models:
            scores[:, int(name)] = self._contexts @ self._policy.theta[name] - penalties[name]
        return np.asarray(scores.argmax(axis=1))

    def _learn(self, query: int, chosen: int, quality: float, cost_usd: float) -> None:
        self._policy.update(str(chosen), self._contexts[query], quality)
        self._spent[chosen] += cost_usd
        self._n[chosen] += 1

    def _penalties(self, day: int) -> dict[str, float]:
        mean = self._spent / np.maximum(self._n, 1)
        return dict(zip(map(str, range(len(mean))), self._year.cost_in_quality(mean, day).tolist(), strict=True))
