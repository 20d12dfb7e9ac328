"""Whether the log and the budget ledger say the same, account by account, in whole nano-dollars.

The ledger books what is certain to cover a request: where a call failed after it may have cost something, where nobody
told what an answer cost, or where a client left before its end, that is the upper amount that was reserved. The log has
only what is known. So the ledger may hold more, for requests that can be counted; anything else is a real difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from beast_ml.domain.money import usd
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.ledger import AccountState, Charge
from beast_ml.operations.budgets.rules import account_names, window_end, window_start
from beast_ml.operations.costs.amounts import nano_sql
from beast_ml.operations.costs.question import FROM_CACHE, UTC_DAY, requests_where

__all__ = ["Agreement", "ReconciledAccount", "Reconciliation", "reconcile"]

Agreement = Literal["agrees", "ledger holds more", "differs"]
"""What the log and the ledger say of an account: the ledger may hold more, for requests whose end nobody told."""

_UNCERTAIN: Final = (
    f"NOT {FROM_CACHE} AND status <> 'rejected' AND (status <> 'ok' OR cost_usd IS NULL "
    "OR len(list_filter(attempts, lambda call: call.status <> 'ok')) > 0)"
)
"""Whether the ledger may have booked more on a request than the log knows of."""


@dataclass(frozen=True)
class ReconciledAccount:
    """One account in one window; amounts in nano-dollars.

    Parameters
    ----------
    account, window
        Which one.
    settled_nano, lost_nano
        What the ledger has booked; lost are upper amounts of requests whose end nobody told.
    open_nano
        What it holds for requests in flight; no part of the difference.
    logged_nano
        What the log's requests cost.
    n_requests, n_uncertain
        Of the log; those on which the ledger may have booked an upper amount.
    """

    account: str
    window: str
    settled_nano: int
    lost_nano: int
    open_nano: int
    logged_nano: int
    n_requests: int
    n_uncertain: int

    @property
    def difference_nano(self) -> int:
        """What the ledger has booked less what the log knows."""
        return self.settled_nano + self.lost_nano - self.logged_nano

    @property
    def agreement(self) -> Agreement:
        """Whether they agree; ``ledger holds more``: there are requests that may be why."""
        if self.difference_nano == 0:
            return "agrees"
        return "ledger holds more" if self.difference_nano > 0 and (self.n_uncertain or self.lost_nano) else "differs"

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return asdict(self) | {"difference_nano": self.difference_nano, "agreement": self.agreement}


@dataclass(frozen=True)
class Reconciliation:
    """The log against the ledger.

    Parameters
    ----------
    accounts
        What differs most first.
    """

    accounts: tuple[ReconciledAccount, ...]

    def sentence(self) -> str:
        """Return the whole in words."""
        if not self.accounts:
            return "The ledger has booked nothing: there is nothing to reconcile."
        n = len(self.accounts)
        of: dict[Agreement, list[ReconciledAccount]] = defaultdict(list)
        for each in self.accounts:
            of[each.agreement].append(each)
        said = f"{len(of['agrees']):,} of {n:,} accounts agree to the nano-dollar"
        if more := of["ledger holds more"]:
            largest = more[0]
            said += (
                f"; in {len(more):,} the ledger holds more, ${usd(largest.difference_nano):,.9f} in {largest.account} "
                f"of {largest.window}, where {largest.n_uncertain:,} requests failed, were left or have no known cost: "
                "it keeps their upper amounts"
            )
        if differing := of["differs"]:
            largest = differing[0]
            way = "more" if largest.difference_nano > 0 else "less"
            said += (
                f"; {len(differing):,} differ for no reason that the log shows: the ledger of {largest.account} of "
                f"{largest.window} holds ${usd(abs(largest.difference_nano)):,.9f} {way} than the log (rows not "
                "compacted yet, a budget that was set in the middle, or costs that clients told late)"
            )
        return said + "."

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {"sentence": self.sentence(), "accounts": [each.to_dict() for each in self.accounts]}


def reconcile(store: LogStore, accounts: Sequence[AccountState], tenant: str | None = None) -> Reconciliation:
    """Return the log against the accounts of a ledger.

    Parameters
    ----------
    accounts
        As the ledger tells them, `Ledger.accounts(ended=True)`.
    tenant
        Whose log is read; its accounts are then all that can agree.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    if not accounts:
        return Reconciliation(())
    logged, requests, uncertain = _logged(store, accounts, tenant)
    found = [
        ReconciledAccount(
            each.account,
            each.window,
            each.settled,
            each.lost,
            each.reserved,
            logged[each.account, each.window],
            requests[each.account, each.window],
            uncertain[each.account, each.window],
        )
        for each in accounts
    ]
    order: Sequence[Agreement] = ("differs", "ledger holds more", "agrees")
    found.sort(key=lambda each: (order.index(each.agreement), -abs(each.difference_nano), each.account, each.window))
    return Reconciliation(tuple(found))


def _logged(
    store: LogStore, accounts: Sequence[AccountState], tenant: str | None
) -> tuple[defaultdict[Charge, int], defaultdict[Charge, int], defaultdict[Charge, int]]:
    """Return nano-dollars, requests and uncertain requests of each account and window, from the log."""
    since = min(window_start(each.window) for each in accounts)
    until = max(window_end(each.window) for each in accounts)
    rows = store.sql(f"""
        SELECT tenant_id, user_id, {UTC_DAY} AS day, count(*) AS n,
            CAST(coalesce(sum({nano_sql("cost_usd")}), 0) AS BIGINT) AS nano,
            count(*) FILTER (WHERE {_UNCERTAIN}) AS uncertain
        FROM log WHERE {requests_where(since, until, tenant)} GROUP BY ALL
    """)  # noqa: S608 - expressions of column names, times and quoted texts only
    wanted = {(each.account, each.window) for each in accounts}
    sums: tuple[defaultdict[Charge, int], ...] = tuple(defaultdict(int) for _ in range(3))
    for row in rows.to_pylist():
        for account in account_names(row["tenant_id"], row["user_id"]):
            day = str(row["day"])
            charge = (account, day if account.endswith(":day") else day[: len("2026-11")])
            if charge in wanted:
                for total, name in zip(sums, ("nano", "n", "uncertain"), strict=True):
                    total[charge] += int(row[name])
    return sums[0], sums[1], sums[2]
