"""An account as a region sees it: what its workers use of it, and what to hold of the home's for them."""

from __future__ import annotations

from typing import ClassVar

from beast_ml.operations.budgets.account import Account
from beast_ml.operations.budgets.booking import AccountRow
from beast_ml.operations.budgets.region_rows import ShareRow
from beast_ml.operations.budgets.rules import BudgetRule

__all__ = ["RegionAccount"]


class RegionAccount(Account):
    """A region's part of an account in one window: like a worker's, but more is held ahead, since the home is far.

    What is ``open`` is what the region's workers have leased: they may spend it, so it cannot be given back.
    """

    buffer_requests: ClassVar[int] = 16  # of the largest that workers lacked
    buffer_s: ClassVar[float] = 30.0  # many round trips, and most short outages of a link
    ahead_s: ClassVar[float] = 3600.0  # about as long as leases live
    idle_s: ClassVar[float] = 600.0  # the first request after that waits for the home
    resync_s: ClassVar[float] = 2.0  # in which to hear, and heed, that another region lacks money

    __slots__ = ("_used",)

    def __init__(self, name: str, window: str, rule: BudgetRule) -> None:
        super().__init__(name, window, rule)
        self._used: int | None = None

    def look(self, row: AccountRow, share: ShareRow, now_mono: float) -> None:
        """Take over what the region's ledger says."""
        self.lease = share.lease
        self.settled, self.lost = row.settled - share.settled, row.lost - share.lost
        self.open, self.needed = row.leased, share.wanted
        used = row.settled + row.lost + row.reserved
        if self._used is None:  # this process is new: what is held is kept, until it is seen how much is used
            self._boost = max(self._boost, self.lease - self.settled - self.lost - self.open)
            self.touched_at = now_mono
        elif used > self._used:
            self.reserved_since += used - self._used
            self.touched_at = now_mono
        if share.wanted:
            self._largest = max(self._largest, min(share.wanted, self.rule.limit_nano))
            self.touched_at = now_mono
        self._used = used

    def renewed(self, window: str) -> RegionAccount:
        """Return it in the window that follows: what was used will be used again."""
        account = RegionAccount(self.name, window, self.rule)
        account._largest, account._boost, account._burn_per_s = self._largest, self._boost, self._burn_per_s
        account.touched_at = self.touched_at
        account._used = 0
        return account
