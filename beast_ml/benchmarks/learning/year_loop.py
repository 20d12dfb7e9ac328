"""The learning loop in the simulated year: its own decisions, on simulated traffic.

What is simulated is what happens outside of the loop: requests, outcomes, a registry. What the loop does with them is
`beast_ml.operations.learning_loop.machine`, the gates, the drift monitor and the comparison of units: what runs live.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.learning.year import START, Day, Year
from beast_ml.benchmarks.learning.year_policies import Fitted, YearLog, exploring, fit_cautiously
from beast_ml.errors import NotEnoughDataError, PromotionRefusedError
from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, normal_interval, standard_error
from beast_ml.operations.drift.advice import Finding, find_causes
from beast_ml.operations.drift.monitor import DriftMonitor
from beast_ml.operations.drift.signals import DriftRow
from beast_ml.operations.learning_loop.compare import compare_units, telling
from beast_ml.operations.learning_loop.drifted import changed_since, learn_because, stale_since
from beast_ml.operations.learning_loop.promise import is_promising
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Judged, Shadowed
from beast_ml.registry.evidence import Evidence, Interval
from beast_ml.registry.gates import Gates, judge

__all__ = ["Promoted", "YearLoop"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_LEARNT_FROM: Final = 12_000
_GATES: Final = Gates(min_test_queries=100)
_CONTROL, _TREATED = 0, 1
_RESAMPLES: Final = 50


@dataclass(frozen=True)
class Promoted:
    """A champion that the loop made, or took back: what changed, and when.

    Parameters
    ----------
    day
        Of the year, from 0.
    before, after
        Versions.
    rolled_back
        The later one was taken back.
    """

    day: int
    before: int
    after: int
    rolled_back: bool = False


@dataclass
class YearLoop:
    """Surroundings of the loop, and the traffic that its champion serves.

    Parameters
    ----------
    year
        The world.
    log
        What was seen before the first day; it is added to.
    seed
        Of choices and assignments.
    canary_share, watch_share
        Of the requests, for the other policy.
    versions
        Routers that were trained, in their order.
    of_cycle
        Cycle -> the version that it trained.
    line
        Versions that were champion, the present one last.
    changes
        Promotions and what was taken back.
    records
        What the loop recorded: cycle, step, text.
    day
        Of the year.
    monitor
        Watches the log for drift.
    """

    year: Year
    log: YearLog
    seed: int = 0
    canary_share: float = 0.5
    watch_share: float = 0.1
    versions: list[Fitted] = field(default_factory=list)
    of_cycle: dict[int, int] = field(default_factory=dict)
    line: list[int] = field(default_factory=list)
    changes: list[Promoted] = field(default_factory=list)
    records: list[tuple[int, str, str]] = field(default_factory=list)
    day: int = 0
    monitor: DriftMonitor = field(default_factory=DriftMonitor)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.seed, 13])
        self._by: Indices = np.full(len(self.log.day), -1)  # the version that chose, of each row of the log
        self._other: tuple[int, float] | None = None  # which version serves beside the champion, and its share
        self._stale: dict[int, int] = {}

    def begin(self) -> None:
        """Make what is learnt from the first rows champion."""
        self.versions.append(fit_cautiously(self.year, self.log, np.arange(len(self.log.day))))
        self.line = [0]

    def serve(self, day: Day) -> Floats:
        """Let a day's requests be decided, and return (n,) what each is expected to be worth, exploration included."""
        self.day = day.number
        n = len(day.queries)
        arm = np.zeros(n, dtype=np.intp)
        if self._other is not None:
            arm[self._rng.random(n) < self._other[1]] = _TREATED
        serving = np.array([self.line[-1], self.line[-1] if self._other is None else self._other[0]])
        true = self._true_outcomes()
        worth = self.year.worth(day.number)[day.queries]
        probabilities = np.empty((n, len(self.year.models)))
        for side in (_CONTROL, _TREATED):
            mine = arm == side
            if mine.any():
                version = self.versions[serving[side]]
                probabilities[mine] = exploring(self.year, day.number, version, day.queries[mine], true)
        chosen = (probabilities.cumsum(axis=1) <= self._rng.random(n)[:, None]).sum(axis=1)
        chosen = np.minimum(chosen, probabilities.shape[1] - 1)
        propensity = probabilities[np.arange(n), chosen]
        quality = self.year.quality(day.number)[day.queries, chosen]
        cost = self.year.base_cost_usd(day.number)[day.queries, chosen]
        self.log.add(day.number, day.queries, chosen, propensity, quality, cost)
        by = serving[arm]
        self._by = np.concatenate((self._by, by))
        self._observe(day, chosen, by, quality)
        return np.asarray((probabilities * worth).sum(axis=1))

    def now(self) -> datetime:
        """Return the end of the day."""
        return START + timedelta(days=self.day + 1)

    def champion(self) -> int | None:
        """Return the version that serves; they count from 1."""
        return self.line[-1] + 1

    def collect(self, since: datetime | None, until: datetime | None) -> Collected:
        """Return how many requests are new, all of them labelled, and what drifted."""
        findings = self._findings()
        stale = stale_since(findings)
        self._stale = {self.year.models.index(name): _day(at) for name, at in stale.items()}
        first = max(0, 0 if since is None else _day(since))
        new = self.log.day[(self.log.day >= first) & (self.log.day < _day(until or self.now()))]
        true = int((new >= max(self._stale.values(), default=0)).sum())
        return Collected(until or self.now(), len(new), true, drifted=learn_because(findings, since), stale=stale)

    def changed(self, since: datetime) -> tuple[str, ...]:
        """Return models whose outcomes are other ones than they were, by what was told after a time."""
        return changed_since(self._findings(), since)

    def train(self, state: LoopState) -> int:
        """Learn a version from the latest rows that are still true."""
        if state.cycle not in self.of_cycle:
            assert state.rows_until is not None  # noqa: S101  written with the first step
            stale = {self.year.models.index(name): _day(at) for name, at in state.stale.items()}
            rows = self.log.latest(_LEARNT_FROM, _day(state.rows_until), stale)
            if len(rows) == 0:
                raise NotEnoughDataError("no row of the log is still true")
            self.versions.append(fit_cautiously(self.year, self.log, rows))
            self.of_cycle[state.cycle] = len(self.versions)
        return self.of_cycle[state.cycle]

    def judge(self, version: int) -> Judged:
        """Put the off-policy evidence before the gates: worth against the champion, on rows that are still true."""
        evidence = self._evidence(self.versions[version - 1])
        report = judge(evidence, _GATES)
        return Judged(report.passed, report.failures() or "the gates pass", is_promising(evidence, report))

    def shadow(self, state: LoopState) -> Shadowed:
        """Return that all requests since were decided: a table look-up cannot fail."""
        n = int((self.log.day >= _day(state.entered_at)).sum())
        return Shadowed(n, n)

    def canary(self, state: LoopState) -> Compared:
        """Serve the candidate on its share, and compare."""
        assert state.candidate is not None  # noqa: S101  it is there in this step
        self._other = state.candidate - 1, self.canary_share
        return self._compare(state, state.candidate - 1, self.line[-1])

    def promote(self, state: LoopState) -> str:
        """Move the champion."""
        assert state.candidate is not None  # noqa: S101  as above
        if state.proof is None and not self.judge(state.candidate).passed:
            raise PromotionRefusedError("the gates do not pass any more", {})
        before, self._other = self.line[-1], None
        if before != state.candidate - 1:
            self.line.append(state.candidate - 1)
            self.changes.append(Promoted(self.day, before, state.candidate - 1))
        return f"version {state.candidate} is the champion"

    def watch(self, state: LoopState) -> Compared:
        """Keep the former champion on a small share, and compare."""
        assert state.champion is not None  # noqa: S101  as above
        self._other = state.champion - 1, self.watch_share
        return self._compare(state, self.line[-1], state.champion - 1)

    def roll_back(self, state: LoopState) -> str:
        """Move the champion back."""
        left = self.line.pop()
        self.changes.append(Promoted(self.day, left, self.line[-1], rolled_back=True))
        return f"version {self.line[-1] + 1} is the champion again"

    def conclude(self, state: LoopState) -> None:
        """Let the champion serve everybody."""
        self._other = None

    def record(self, before: LoopState, after: LoopState) -> None:
        """Remember the transition."""
        self.records.append((self.day, after.step, after.reason))

    def _true_outcomes(self) -> Floats:
        """Return (m,) outcomes of each model that are still true."""
        since = np.array([self._stale.get(j, -(10**6)) for j in range(len(self.year.models))])
        still = self.log.day >= since[self.log.chosen]
        return np.bincount(self.log.chosen[still], minlength=len(since)).astype(float)

    def _observe(self, day: Day, chosen: Indices, by: Indices, quality: Floats) -> None:
        """Let the drift monitor read the champion's rows."""
        champion = self.line[-1]
        expected = self.versions[champion].expected
        known = self.versions[champion].known
        for i in np.flatnonzero((by == champion) & known[chosen]):
            query, model = int(day.queries[i]), int(chosen[i])
            self.monitor.update(
                DriftRow(
                    at=day.at + timedelta(days=float(i) / len(chosen)),
                    model=self.year.models[model],
                    policy=str(champion),
                    predicted_quality=float(np.clip(expected[query, model], 0.0, 1.0)),
                    quality=float(quality[i]),
                )
            )

    def _findings(self) -> tuple[Finding, ...]:
        models = {key.model for key, _ in self.monitor.streams() if key.signal == "quality"}
        return find_causes(self.monitor.alarms.values(), models)

    def _evidence(self, fitted: Fitted) -> Evidence:
        """Return the doubly robust gain in worth over the champion, as evidence of quality net of cost."""
        assert fitted.rows is not None  # noqa: S101  it was learnt from the log
        assert fitted.out_of_fold is not None  # noqa: S101  as above
        fresh = self.log.day[fitted.rows] >= max(self._stale.values(), default=-(10**6))
        rows = fitted.rows[fresh]
        lower, expected, cost_usd = (part[fresh] for part in fitted.out_of_fold)
        query, chosen = self.log.query[rows], self.log.chosen[rows]
        cost = self.year.cost_in_quality(cost_usd, self.day)
        usable = fitted.known & self.year.available(self.day)
        decisions = np.where(usable, lower - cost, -np.inf).argmax(axis=1)
        paid = self.year.cost_in_quality(self.log.cost_usd[rows, None], self.day)[np.arange(len(rows)), chosen]
        rounds = LoggedRounds(
            chosen, self.log.propensity[rows], self.log.quality[rows] - paid, expected - cost, self.year.question[query]
        )
        kept = self.versions[self.line[-1]].decisions(self.year, self.day)[query]
        gains = rounds.by_question(rounds.doubly_robust(decisions) - rounds.doubly_robust(kept))
        agreed = float(rounds.value(decisions))
        rng = np.random.default_rng(0)
        seen = expected[np.arange(len(rows)), chosen]
        calibration = calibrate_quality(
            ("the chosen model",),
            np.clip(seen, 0.0, 1.0)[:, None],
            self.log.quality[rows][:, None],
            QueryBootstrap.draw(rng, len(rows), _RESAMPLES),
            rng,
        )
        return Evidence(
            source="log",
            reference="logging_policy",
            n_train_queries=len(fitted.rows),
            n_test_queries=int(rounds.effective_sample_size(decisions)),
            router_quality=min(max(agreed, 0.0), 1.0),
            best_single_model=self.year.models[0],
            best_single_quality=0.0,
            quality_gain=Interval(*normal_interval(float(gains.mean()), standard_error(gains))),
            quality_ece=calibration.ece.value or 0.0,
            quality_ece_floor=calibration.ece_floor,
            data_digest="simulated",
        )

    def _compare(self, state: LoopState, one: int, other: int) -> Compared:
        rows = np.flatnonzero((self.log.day >= _day(state.entered_at)) & np.isin(self._by, (one, other)))
        query, chosen, by = self.log.query[rows], self.log.chosen[rows], self._by[rows]
        paid = self.year.cost_in_quality(self.log.cost_usd[rows, None], self.day)[np.arange(len(rows)), chosen]
        choices = [self.versions[version].decisions(self.year, self.day) for version in (one, other)]
        served = self.versions[other]
        worth = served.expected - self.year.cost_in_quality(served.cost_usd, self.day)
        expected = worth[np.arange(len(worth)), choices[1]][query]
        told = telling(self.log.quality[rows] - paid, expected, (choices[0] != choices[1])[query])
        return compare_units(told[by == one], told[by == other])


def _day(at: datetime) -> int:
    return (at - START).days
