"""The part on the loop: a simulated year with three shifts, and what policies that learn otherwise make of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.year import BOOTSTRAP_DAYS, YEAR, Scenario, Year
from beast_ml.benchmarks.learning.year_bandit import OnlineBandit
from beast_ml.benchmarks.learning.year_loop import YearLoop
from beast_ml.benchmarks.learning.year_policies import Fitted, YearLog, exploring, fit_naively, informed
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import LogSet, prepare_log_set
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.errors import MissingExtraError
from beast_ml.evaluation.off_policy.rounds import normal_interval, standard_error
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.run import learn_once
from beast_ml.operations.learning_loop.state_file import StateFile
from beast_ml.policy.learner import get_encoder

__all__ = ["YearResult", "measure_loop", "run_year"]

Floats = NDArray[np.float64]

_PART: Final = "loop"
_SET: Final = "mmlu_pro"
_POOL: Final = (
    "Meta-Llama-3_1-70B-Instruct",
    "Meta-Llama-3_1-8B-Instruct",
    "Phi-3-mini-4k-instruct",
    "Qwen1.5-110B",
    "gemini-1.5-flash-002",
    "gemini-1.5-pro-002",
)
_QUICK_DAYS: Final = 150
_SEEDS, _QUICK_SEEDS = 2, 1
_RECOVERED: Final = 0.8
_SPELL: Final = 7  # days of mean regret that are one value of an interval
_NAIVE_ROWS: Final = 4_000
_LOOP: Final = LoopConfig(
    every=timedelta(days=14),
    min_labelled=2_000,
    shadow_requests=200,
    canary_units=100,
    watch_for=timedelta(days=7),
    longest=timedelta(days=14),
)


@dataclass
class YearResult:
    """What a year came to.

    Parameters
    ----------
    regret
        Policy -> (days,) mean regret a request against the oracle, which knows every outcome.
    value
        Policy -> (days,) true worth of its decisions over all queries, without exploration.
    reachable
        (days,) the same of a policy that learnt from every outcome of every model, as they were that day.
    scenario
        What happened.
    hurt
        Promotions whose successor was truly worse, significantly (95%) over all queries.
    n_promoted, n_rolled_back, n_cycles
        Of the loop.
    records
        (day, step, reason) of the loop's transitions.
    """

    regret: dict[str, Floats] = field(default_factory=dict)
    value: dict[str, Floats] = field(default_factory=dict)
    reachable: Floats = field(default_factory=lambda: np.zeros(0))
    scenario: Scenario = YEAR
    hurt: int = 0
    n_promoted: int = 0
    n_rolled_back: int = 0
    n_cycles: int = 0
    records: list[tuple[int, str, str]] = field(default_factory=list)

    def recovery_days(self, policy: str, shift: int) -> float | None:
        """Return days from a shift until four fifths of what it opened up, or cost, are won; None: not in this regime.

        Nothing to win counts as recovered at once.
        """
        ends = [day for day in self.scenario.shifts.values() if day > shift]
        end = min([*ends, len(self.reachable)])
        lost = self.reachable[shift:end] - self.value[policy][shift:end]
        normal = self.reachable[max(shift - _SPELL, 0) : shift] - self.value[policy][max(shift - _SPELL, 0) : shift]
        allowed = float(normal.mean()) + (1.0 - _RECOVERED) * max(float(lost[0]) - float(normal.mean()), 0.0)
        back = np.flatnonzero(lost <= allowed + 1e-9)
        return float(back[0]) if len(back) else None


def measure_loop(context: PartContext) -> PartResult:
    """Return regret against the oracle, recovery times and harmful promotions of the loop and of its rivals.

    Regret is quality less cost over the willingness to pay (0.0025 USD), a request, exploration included. The rivals:
    the first router for ever (``never retrained``); retrained every day on the last 4,000 requests and promoted without
    asking (``daily, no gates``); ``paretobandit`` online; and ``informed``, which knows every outcome of the past and
    stands for what can be reached.
    """
    outcomes = load_set(SETS[_SET], context.data)
    if outcomes is None:
        return PartResult(_PART, (), (f"{_SET} is not there: no year was simulated from it",))
    seeds, days = (_QUICK_SEEDS, _QUICK_DAYS) if context.quick else (_SEEDS, YEAR.days)
    pool = outcomes.pool(_POOL)
    settings = {"set": pool.digest(), "seeds": seeds, "days": days}
    figures = context.kept(
        f"{_SET}, year",
        settings,
        lambda: _measure(prepare_log_set(pool, get_encoder(context.encoder)), seeds, days, context),
    )
    return PartResult(_PART, figures, (f"{days} days, {seeds} seeds; shifts on days {list(YEAR.shifts.values())}",))


def run_year(
    log_set: LogSet,
    seed: int,
    days: int | None = None,
    say: object = None,
    *,
    scenario: Scenario = YEAR,
    config: LoopConfig = _LOOP,
) -> YearResult:
    """Return a year, or what a scenario is instead, of the loop and its rivals, all on the same requests.

    Parameters
    ----------
    days
        Only so many; None: all of the scenario.
    say
        Called with each day.
    scenario
        What happens.
    config
        Of the loop.
    """
    days = scenario.days if days is None else days
    year = Year(log_set, seed, scenario)
    log = _first_log(year, seed)
    result = YearResult(scenario=scenario)
    loop = YearLoop(year, _copy(log), seed)
    loop.begin()
    never = loop.versions[0]
    daily_log, daily = _copy(log), never
    try:
        bandit: OnlineBandit | None = OnlineBandit(year, log)
    except MissingExtraError:
        bandit = None
    names = ["loop", "never retrained", "daily, no gates", "informed", *(["paretobandit"] if bandit else [])]
    regret = {name: np.zeros(days) for name in names}
    value = {name: np.zeros(days) for name in names}
    reachable = np.zeros(days)
    best: Fitted | None = None
    rng = np.random.default_rng([seed, 17])
    with tempfile.TemporaryDirectory() as scratch:
        file = StateFile(Path(scratch) / "loop.json")
        for number in range(days):
            day = year.day(number)
            worth = year.worth(number)
            available = year.available(number)
            oracle = np.where(available, worth, -np.inf).max(axis=1)[day.queries]
            if best is None or year.regime(number) != year.regime(number - 1):
                best = informed(year, number)
            champion = loop.versions[loop.line[-1]]
            got = {"loop": loop.serve(day)}
            plain: Mapping[str, Fitted] = {"never retrained": never, "daily, no gates": daily, "informed": best}
            for name, fitted in plain.items():
                probabilities = exploring(year, number, fitted, day.queries, daily_log.counts())
                got[name] = (probabilities * worth[day.queries]).sum(axis=1)
                if name == "daily, no gates":
                    _explore_into(daily_log, year, number, day.queries, probabilities, rng)
            if bandit is not None:
                got["paretobandit"] = bandit.serve(day)
                value["paretobandit"][number] = _value(worth, bandit.decisions(number))
            for name, each in got.items():
                regret[name][number] = float((oracle - each).mean())
            for name, fitted in {**plain, "loop": champion}.items():
                value[name][number] = _value(worth, fitted.decisions(year, number))
            reachable[number] = value["informed"][number]
            while learn_once(file, loop, config).waiting is None:
                result.n_cycles += 1
            daily = fit_naively(year, daily_log, daily_log.latest(_NAIVE_ROWS, number + 1))
            if callable(say):
                say(number)
    result.regret, result.value, result.reachable = regret, value, reachable
    result.records = loop.records
    for change in loop.changes:
        result.n_rolled_back += change.rolled_back
        result.n_promoted += not change.rolled_back
        if not change.rolled_back:
            worth = year.worth(change.day)
            rows = np.arange(year.n_queries)
            before, after = (loop.versions[v].decisions(year, change.day) for v in (change.before, change.after))
            gain = worth[rows, after] - worth[rows, before]
            result.hurt += normal_interval(float(gain.mean()), standard_error(gain))[2] < 0
    return result


def _measure(log_set: LogSet, seeds: int, days: int, context: PartContext) -> tuple[Figure, ...]:
    results = []
    for seed in range(seeds):
        context.say(f"year {seed + 1} of {seeds}")
        results.append(run_year(log_set, seed, days, lambda d: context.say(f"day {d}") if d % 30 == 0 else None))
    where = f"{_SET}, a year"
    figures: list[Figure] = []
    for name in results[0].regret:
        figures.append(_over_spells(where, name, "regret", [each.regret[name] for each in results]))
        if name not in ("loop", "informed"):
            difference = [each.regret[name] - each.regret["loop"] for each in results]
            figures.append(_over_spells(where, name, "regret_above_loop", difference))
        for shift, day in YEAR.shifts.items():
            if day < days:
                found = [each.recovery_days(name, day) for each in results]
                known = [each for each in found if each is not None]
                mean = float(np.mean(known)) if len(known) == len(found) else None
                figures.append(Figure(_PART, f"{where}, {shift}", name, "recovery_days", mean, seeds=tuple(known)))
    for name in ("hurt", "n_promoted", "n_rolled_back", "n_cycles"):
        values = [float(getattr(each, name)) for each in results]
        figures.append(
            Figure(_PART, where, "loop", name.removeprefix("n_"), float(np.mean(values)), seeds=tuple(values))
        )
    return tuple(figures)


def _over_spells(where: str, policy: str, name: str, series: list[Floats]) -> Figure:
    """Return the mean with the interval of weekly means, which hang together less than days do."""
    weeks = np.concatenate([each[: len(each) // _SPELL * _SPELL].reshape(-1, _SPELL).mean(axis=1) for each in series])
    mean, low, high = normal_interval(float(np.mean([each.mean() for each in series])), standard_error(weeks))
    return Figure(_PART, where, policy, name, mean, None, low, high, tuple(float(each.mean()) for each in series))


def _first_log(year: Year, seed: int) -> YearLog:
    """Return some days of uniform choice."""
    log, rng = YearLog(len(year.models)), np.random.default_rng([seed, 19])
    for number in range(-BOOTSTRAP_DAYS, 0):
        queries = year.day(number).queries
        probabilities = np.tile(year.available(number) / year.available(number).sum(), (len(queries), 1))
        _explore_into(log, year, number, queries, probabilities, rng)
    return log


def _explore_into(
    log: YearLog, year: Year, day: int, queries: NDArray[np.intp], probabilities: Floats, rng: np.random.Generator
) -> None:
    n = np.arange(len(queries))
    cumulative = probabilities.cumsum(axis=1)
    chosen = (cumulative / cumulative[:, -1:] <= rng.random(len(queries))[:, None]).sum(axis=1)
    quality, cost = year.quality(day)[queries, chosen], year.base_cost_usd(day)[queries, chosen]
    log.add(day, queries, chosen, probabilities[n, chosen], quality, cost)


def _value(worth: Floats, decisions: NDArray[np.intp]) -> float:
    return float(worth[np.arange(len(decisions)), decisions].mean())


def _copy(log: YearLog) -> YearLog:
    copied = YearLog(log.n_models)
    for name, values in vars(log).items():
        setattr(copied, name, values)
    return copied
