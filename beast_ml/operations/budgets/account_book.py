"""Which accounts a worker's requests are booked on: rules, windows that run, and the accounts made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from beast_ml.operations.budgets.account import Account
from beast_ml.operations.budgets.ledger import AHEAD_S, AccountState, Charge, RuleBook
from beast_ml.operations.budgets.rules import (
    PERIODS,
    BudgetRule,
    BudgetStatus,
    Period,
    account_names,
    account_parts,
    rules_by_name,
    rules_of_account,
    tenant_of_account,
    window_end,
    window_of,
    windows_at,
)

__all__ = ["AccountBook", "Charged", "Holding"]

_NOTHING: Final = -(2**62)
_NEVER: Final = "9999-12-31"

Holding = tuple[Account, ...]
"""The accounts that a request is booked on."""


class Charged:
    """Who pays for the requests of a tenant's user, and the number that the journal knows it by."""

    __slots__ = ("accounts", "file", "n")

    def __init__(self, accounts: Holding, n: int) -> None:
        self.accounts, self.n, self.file = accounts, n, 0

    def charges(self) -> tuple[Charge, ...]:
        """Return the accounts as the ledger names them."""
        return tuple((account.name, account.window) for account in self.accounts)


class AccountBook:
    """The accounts of one worker. Windows only move forward, whatever the clock does, unless the ledger corrects them.

    Parameters
    ----------
    book
        The rules that hold at first.
    now
        The time.
    """

    def __init__(self, book: RuleBook, now: datetime) -> None:
        self.version = book.version
        self.rules = rules_by_name(book.rules)
        self.accounts: dict[Charge, Account] = {}
        self.charged: dict[tuple[str, str | None], Charged] = {}
        self.windows: dict[Period, str] = dict.fromkeys(PERIODS, "")
        self._last: dict[Period, str] = dict.fromkeys(PERIODS, _NEVER)
        self._n_charged = 0
        self._stopped = False
        self.roll(now)

    def charge(self, tenant: str, user: str | None) -> Charged:
        """Return who pays; remembered until the rules or a window change."""
        found = self.charged.get((tenant, user))
        if found is not None:
            return found
        accounts = []
        for name in account_names(tenant, user) if self.rules else ():
            rule = self.rule_of(name)
            if rule is not None:
                charge = (name, self.windows[rule.period])
                if charge not in self.accounts:
                    self.accounts[charge] = Account(*charge, rule)
                    if self._stopped:
                        self.accounts[charge].available = _NOTHING
                accounts.append(self.accounts[charge])
        self._n_charged += 1
        self.charged[tenant, user] = charged = Charged(tuple(accounts), self._n_charged)
        return charged

    def rule_of(self, account: str) -> BudgetRule | None:
        """Return the narrowest rule for an account."""
        return next((self.rules[name] for name in rules_of_account(account) if name in self.rules), None)

    def take_rules(self, book: RuleBook) -> bool:
        """Replace the rules; return False if a later version of them is known already."""
        if book.version < self.version:
            return False
        self.version, self.rules = book.version, rules_by_name(book.rules)
        self.charged.clear()
        for account in self.accounts.values():
            rule = self.rule_of(account.name)
            if rule is not None:
                account.set_rule(rule)
        return True

    def roll(self, now: datetime) -> None:
        """Enter the windows that the clock has come to; never an earlier one, nor one that the ledger does not open."""
        windows = (window_of(period, now) for period in PERIODS)
        self.adopt(
            [
                min(self.windows[period], each) if each > self._last[period] else each
                for period, each in zip(PERIODS, windows, strict=True)
            ]
        )

    def correct(self, windows: Sequence[str], clock_s: float) -> None:
        """Take over the ledger's windows, and leave those that are further ahead of its clock than it allows."""
        self._last = dict(zip(PERIODS, windows_at(clock_s + AHEAD_S), strict=True))
        for period, now, latest in zip(PERIODS, windows_at(clock_s), windows, strict=True):
            if self.windows[period] > self._last[period]:
                self.windows[period] = max(now, latest)
                self.charged.clear()
        self.adopt(windows)

    def adopt(self, windows: Sequence[str]) -> None:
        """Enter the windows, a day and a month, that somebody has come to; never an earlier one."""
        for period, window in zip(PERIODS, windows, strict=True):
            if window > self.windows[period]:
                self.windows[period] = window
                self.charged.clear()
        self.rolls_at = min(window_end(window) for window in self.windows.values())

    def forget_idle(self, since: float) -> None:
        """Forget accounts that hold nothing and were not used since a (monotonic) time."""
        idle = [
            charge
            for charge, account in self.accounts.items()
            if account.holds_nothing() and account.touched_at < since
        ]
        for charge in idle:
            del self.accounts[charge]
        self.charged.clear()

    def stop(self) -> None:
        """Make nothing available any more."""
        self._stopped = True
        for account in self.accounts.values():
            account.available = _NOTHING

    def statuses(self, tenant: str | None, states: Sequence[AccountState] | None = None) -> list[BudgetStatus]:
        """Return the budgets of a tenant and its users, or of all, from the states of accounts, or as known here.

        Budgets that nothing was spent of are there where it can be said whose they are.
        """
        if states is None:
            running = set(self.windows.values())
            states = [account.state() for account in self.accounts.values() if account.window in running]
        known = {each.account: each for each in states}
        named = {name for name in self.rules if "*" not in name or name.startswith("global:")}
        if tenant is not None:
            named |= {name for name in account_names(tenant, None) if name.startswith("tenant:")}
        for name in named:
            known.setdefault(name, AccountState(name, self.windows[account_parts(name)[2]], 0, 0, 0, 0))
        return [
            _status(rule, known[name])
            for name in sorted(known)
            if (tenant is None or (not name.startswith("global:") and tenant_of_account(name) == tenant))
            and (rule := self.rule_of(name)) is not None
        ]


def _status(rule: BudgetRule, account: AccountState) -> BudgetStatus:
    scope, key, period = account_parts(account.account)
    used = account.settled + account.lost + account.reserved
    return BudgetStatus(
        account.account,
        scope,
        key,
        period,
        rule.limit_nano,
        account.settled,
        account.reserved,
        account.lost,
        max(rule.limit_nano - used, 0),
        rule.soft_share,
        window_end(account.window),
    )
