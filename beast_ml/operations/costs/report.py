"""The cost report: what was spent, whether the ledger agrees, what the month comes to, and what would have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.ledger import AccountState
from beast_ml.operations.costs.forecast import MonthForecast, forecast_month, read_hours
from beast_ml.operations.costs.policy_what_if import PolicyWhatIf
from beast_ml.operations.costs.question import CostQuestion, requests_where
from beast_ml.operations.costs.reconciliation import Reconciliation, reconcile
from beast_ml.operations.costs.spending import Spending, read_spending

__all__ = ["CostReport", "cost_report", "daily_spending"]


@dataclass(frozen=True)
class CostReport:
    """What a log and a ledger say of costs.

    Parameters
    ----------
    spending
        By what was asked.
    forecast
        Of the month in which the last of these requests was received; None where the log is too short.
    reconciliation
        Against the ledger; None where there is none.
    policy
        What another policy would have cost; None where none was asked for.
    notes
        What there is to know.
    """

    spending: Spending
    forecast: MonthForecast | None
    reconciliation: Reconciliation | None
    policy: PolicyWhatIf | None = None
    notes: tuple[str, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """Return the whole in words."""
        parts = (self.forecast, self.reconciliation, self.policy)
        return (
            self.spending.sentence(),
            self.spending.prediction_sentence(),
            *(part.sentence() for part in parts if part is not None),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "spending": self.spending.to_dict(),
            "forecast": None if self.forecast is None else self.forecast.to_dict(),
            "reconciliation": None if self.reconciliation is None else self.reconciliation.to_dict(),
            "policy": None if self.policy is None else self.policy.to_dict(),
            "notes": list(self.notes),
        }


def cost_report(
    store: LogStore,
    question: CostQuestion,
    accounts: Sequence[AccountState] | None = None,
    *,
    at: datetime | None = None,
    rng: np.random.Generator | None = None,
) -> CostReport:
    """Return what a log says of costs.

    Parameters
    ----------
    question
        Which requests, told apart by what. The forecast goes by all requests of its tenant before its end.
    accounts
        Of the ledger, `Ledger.accounts(tenant, ended=True)`; None: there is none.
    at
        Until when costs are known, for the forecast; default: until the last of the tenant's requests.
    rng
        Draws the days to come; default: seed 0.

    Raises
    ------
    InputError
        If a time of the question has no zone.
    DataError
        If a file of the store is damaged.
    """
    spending = read_spending(store, question)
    forecast, notes = None, []
    last = at or _last(store, question)
    if last is not None:
        try:
            hours = read_hours(store, last, question.tenant)
            forecast = forecast_month(hours, last, rng or np.random.default_rng(0))
        except NotEnoughDataError as error:
            notes.append(f"no forecast: {error}")
    agreed = None if accounts is None else reconcile(store, accounts, question.tenant)
    return CostReport(spending, forecast, agreed, notes=tuple(notes))


def daily_spending(store: LogStore, question: CostQuestion) -> Spending:
    """Return the same requests by day and model, for a picture."""
    return read_spending(store, replace(question, by=("day", "model"), prices={}, limit=None))


def _last(store: LogStore, question: CostQuestion) -> datetime | None:
    """Return the moment after the last of the tenant's requests before the end of the question."""
    where = requests_where(None, question.until, question.tenant)
    last = store.sql(f"SELECT max(received_at) AS last FROM log WHERE {where}")["last"][0].as_py()  # noqa: S608 - times and a quoted text
    return None if last is None else last.astimezone(UTC) + timedelta(microseconds=1)
