"""The report of a period: everything that the other reports say of it, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.domain import Price
from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.experiments.definitions import Experiment
from beast_ml.features.encoder import Encoder
from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.ledger import AccountState
from beast_ml.operations.costs.question import CostQuestion
from beast_ml.operations.costs.report import CostReport, cost_report, daily_spending
from beast_ml.operations.costs.spending import Spending, read_spending
from beast_ml.operations.drift.report import DriftReport, drift_report
from beast_ml.operations.error_patterns import ErrorReport, error_report
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.periodic_report.changes import Change, compare_periods, read_days
from beast_ml.operations.periodic_report.decisions import (
    Event,
    experiment_events,
    first_seen,
    loop_events,
    run_events,
)
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.periodic_report.plan import plan_of
from beast_ml.operations.periodic_report.recommendations import Recommendation, recommend
from beast_ml.operations.savings.report import SavingsReport, savings_report
from beast_ml.operations.selection.report import SelectionReport, selection_report
from beast_ml.registry.period_runs import RecordedRun

__all__ = ["PeriodicReport", "Sources", "periodic_report"]

Progress = Callable[[str, int, int], None]

_SAMPLED: Final = 20_000
_TENANTS: Final = 10


@dataclass(frozen=True)
class Sources:
    """What a report is made from.

    Parameters
    ----------
    store
        The log.
    experiments
        Of the deployment.
    loop
        State of the learning loop; None where it never ran.
    runs
        On record in MLflow in that period; None where that is not known.
    accounts
        Of the budget ledger; None where there is none.
    encoder
        Of the prompts, for what would save and what was chosen; None: both are left out.
    bundle, prices, kinds, life_s
        The champion, the prices of its candidates, which task is of which kind, and how long the cache keeps answers:
        as for `savings_report` and `selection_report`.
    """

    store: LogStore
    experiments: Sequence[Experiment] = ()
    loop: LoopState | None = None
    runs: Sequence[RecordedRun] | None = None
    accounts: Sequence[AccountState] | None = None
    encoder: Encoder | None = None
    bundle: RouterBundle | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    kinds: KindTable = KIND_TABLE
    life_s: float = 86_400.0


@dataclass(frozen=True)
class PeriodicReport:
    """What a period was.

    Parameters
    ----------
    period
        Which.
    changes
        Against the period before.
    days, days_before
        Sums of each day that has requests.
    costs, daily_costs, tenants
        By model; by day and model; of the tenants that cost most.
    decided, learnt
        What was switched, and what the loop, experiments and trainings found.
    drift, errors, savings, selection
        What those reports say of the period; None where they cannot say anything.
    recommendations, plan
        What to do, ranked; and the commands of the next period with why.
    runs_known
        Whether MLflow said what is on record.
    notes
        Why parts are missing.
    why_not_judged
        Why savings and choices are not; None where they are, or nothing was received.
    log_begins
        First day of the log; None where it is empty.
    """

    period: Period
    changes: tuple[Change, ...]
    days: Mapping[date, Mapping[str, float]]
    days_before: Mapping[date, Mapping[str, float]]
    costs: CostReport
    daily_costs: Spending
    tenants: Spending
    decided: tuple[Event, ...]
    learnt: tuple[Event, ...]
    drift: DriftReport | None
    errors: ErrorReport | None
    savings: SavingsReport | None
    selection: SelectionReport | None
    recommendations: tuple[Recommendation, ...]
    plan: tuple[tuple[str, str], ...]
    runs_known: bool
    notes: tuple[str, ...]
    why_not_judged: str | None = None
    log_begins: date | None = None

    @property
    def n_requests(self) -> int:
        """How many requests the period had."""
        return int(self.costs.spending.total["requests"])

    def covered_days(self, period: Period) -> int:
        """Return how many days of a period lie in the log's time."""
        return 0 if self.log_begins is None else sum(day >= self.log_begins for day in period.days)

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "period": {"kind": self.period.kind, "first": str(self.period.first), "last": str(self.period.last)},
            "log_begins": None if self.log_begins is None else str(self.log_begins),
            "requests": self.n_requests,
            "changes": [each.to_dict() for each in self.changes],
            "costs": self.costs.to_dict(),
            "tenants": self.tenants.groups.to_pylist(),
            "decided": [str(event) for event in self.decided],
            "learnt": [str(event) for event in self.learnt],
            "drift": None if self.drift is None else self.drift.to_dict(),
            "errors": None if self.errors is None else self.errors.to_dict(),
            "savings": None if self.savings is None else self.savings.to_dict(),
            "selection": None if self.selection is None else self.selection.to_dict(),
            "recommendations": [each.to_dict() for each in self.recommendations],
            "plan": [{"command": command, "why": why} for command, why in self.plan],
            "notes": list(self.notes),
        }

    def metrics(self) -> dict[str, float]:
        """Return the figures by which periods are compared in MLflow."""
        figures = {each.measure.name.replace(",", ""): each.now for each in self.changes}
        return {"requests": float(self.n_requests)} | {k: v for k, v in figures.items() if v is not None}


def periodic_report(
    sources: Sources, period: Period, *, seed: int = 0, progress: Progress = lambda *_: None
) -> PeriodicReport:
    """Return what a period was; parts that nothing is recorded of are None or empty, and said so in ``notes``.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    progress
        Called with (what, done, all).

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    store, notes = sources.store, []
    question = CostQuestion(("model",), period.since, period.until)
    accounts, rng = _of_period(sources.accounts, period), np.random.default_rng(seed)
    costs = cost_report(store, question, accounts, at=period.until, rng=rng)
    n_requests = int(costs.spending.total["requests"])
    errors = drift = savings = selection = why_not_judged = None
    if n_requests:
        errors = error_report(store, period.since, period.until, np.random.default_rng(seed))
        try:
            drift = drift_report(store, period.since, period.until, advance=progress)
        except DataError as error:
            notes.append(f"No drift: {error}.")
        every = -(-n_requests // _SAMPLED)
        try:
            savings, selection = _what_choices_tell(sources, period, every, seed, progress)
        except NotEnoughDataError as error:
            why_not_judged = str(error)
            notes.append(f"Savings and choices are not judged: {error}.")
        if savings is not None and every > 1:
            notes.append(f"Savings and choices are judged on every {every}th request.")
    changes = compare_periods(store, period)
    labelled = next(each.now for each in changes if each.measure.name == "share with a quality label")
    recommendations = recommend(period, errors, drift, savings, selection, labelled)
    running = [each.id for each in sources.experiments if each.status == "running"]
    plan = plan_of(period, recommendations, savings, costs.spending, why_not_judged=why_not_judged, running=running)
    return PeriodicReport(
        period=period,
        changes=changes,
        days=read_days(store, period),
        days_before=read_days(store, period.before()),
        costs=costs,
        daily_costs=daily_spending(store, question),
        tenants=read_spending(store, replace(question, by=("tenant",), limit=_TENANTS)),
        decided=(*first_seen(store, period), *experiment_events(sources.experiments, period)),
        learnt=(*loop_events(sources.loop, period), *run_events(sources.runs or ())),
        drift=drift,
        errors=errors,
        savings=savings,
        selection=selection,
        recommendations=recommendations,
        plan=plan,
        runs_known=sources.runs is not None,
        notes=(*costs.notes, *notes),
        why_not_judged=why_not_judged,
        log_begins=min(store.days(), default=None),
    )


def _of_period(accounts: Sequence[AccountState] | None, period: Period) -> list[AccountState] | None:
    """Return the accounts whose window lies in the period."""
    if accounts is None:
        return None
    days = {str(day) for day in period.days}
    months = {month for month in (day[:7] for day in days) if f"{month}-01" in days}
    return [each for each in accounts if each.window in days or each.window in months]


def _what_choices_tell(
    sources: Sources, period: Period, every: int, seed: int, progress: Progress
) -> tuple[SavingsReport, SelectionReport]:
    """Return what would save and how good choices were, by one of so many requests.

    Raises
    ------
    NotEnoughDataError
        If they cannot be judged, or it was not asked for.
    """
    if sources.encoder is None:
        raise NotEnoughDataError("it was not asked for")
    where = f"hash(request_id) % {every} = 0" if every > 1 else None
    logged = sources.store.logged_outcomes(period.since, period.until, where).priced(sources.prices)
    savings = savings_report(
        logged, sources.encoder, bundle=sources.bundle, life_s=sources.life_s, seed=seed, progress=progress
    )
    selection = _selection(sources, logged, period, where, seed, progress)
    return replace(savings, spent_usd=savings.spent_usd * every), selection


def _selection(
    sources: Sources, logged: LoggedOutcomes, period: Period, where: str | None, seed: int, progress: Progress
) -> SelectionReport:
    assert sources.encoder is not None  # noqa: S101  the caller looked
    condition = "served_model IS DISTINCT FROM chosen_model" + ("" if where is None else f" AND {where}")
    failed = sources.store.requests(["request_id", "attempts"], period.since, period.until, condition)
    attempts = dict(zip(failed["request_id"].to_pylist(), failed["attempts"].to_pylist(), strict=True))
    return selection_report(logged, sources.encoder, attempts, kinds=sources.kinds, seed=seed, progress=progress)
