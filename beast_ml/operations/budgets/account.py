"""One account as a worker sees it: its lease, what it has spent of it, and the ledger's last word on the whole."""

from __future__ import annotations

from typing import ClassVar, Final

from beast_ml.domain.money import usd
from beast_ml.errors import BudgetExceededError
from beast_ml.operations.budgets.ledger import AccountState, Balance, Entry
from beast_ml.operations.budgets.rules import (
    BudgetRule,
    paced_pressure,
    window_end,
    window_start,
)

__all__ = ["Account"]

_CONTENDED_S: Final = 3.0
_REFUSED_S: Final = 0.5
_AVERAGE_S: Final = 2.0


class Account:
    """A worker's part of an account in one window; amounts in nano-dollars.

    ``available`` is what the hot path looks at: the lease, less what is open, spent, and about to be given back.
    """

    buffer_requests: ClassVar[int] = 4
    """So many of the largest requests are leased beyond what is needed, ..."""
    buffer_s: ClassVar[float] = 4.0
    """... or what is used up in these seconds, ..."""
    ahead_s: ClassVar[float] = 60.0
    """... or in these, so that a worker goes on without the ledger for so long, where ..."""
    ahead_share: ClassVar[int] = 16
    """... a lease for that is not more than this part of what nobody has leased."""
    idle_s: ClassVar[float] = 10.0
    """Seconds without a request after which all that is leased beyond what is needed goes back; until then ..."""
    resync_s: ClassVar[float] = 1.0
    """... the ledger is asked where the account stands whenever so long has passed; less than `CONTENDED_S`."""

    __slots__ = (
        "_averaged_s",
        "_boost",
        "_buffer",
        "_burn_per_s",
        "_contended_until",
        "_largest",
        "_refused",
        "available",
        "balance",
        "lease",
        "length_s",
        "lost",
        "low",
        "name",
        "needed",
        "open",
        "reserved_since",
        "rule",
        "sent_open",
        "settled",
        "soft_nano",
        "start_s",
        "synced_at",
        "touched_at",
        "window",
    )

    def __init__(self, name: str, window: str, rule: BudgetRule) -> None:
        self.name, self.window = name, window
        self.lease = self.available = self.open = self.settled = self.lost = self.needed = self.sent_open = 0
        self.low = 0
        self.balance = Balance(name, window, 0, 0, 0, 0, 0, None, contended=False)
        self.start_s = window_start(window).timestamp()
        self.length_s = window_end(window).timestamp() - self.start_s
        self.touched_at = self.synced_at = float("-inf")
        self._contended_until = float("-inf")
        self._largest = self._buffer = self._boost = 0
        self.reserved_since = 0
        self._burn_per_s = self._averaged_s = 0.0
        self.set_rule(rule)

    def set_rule(self, rule: BudgetRule) -> None:
        """Take over a rule that has changed."""
        self.rule = rule
        self.soft_nano = int(rule.limit_nano * rule.soft_share)
        self._refused = (0, float("-inf"))

    def settle(self, upper: int, actual: int) -> None:
        """Replace an upper amount by the actual one."""
        self.open -= upper
        self.available += upper - actual
        self.settled += actual

    def lose(self, upper: int) -> None:
        """Count an upper amount as spent."""
        self.open -= upper
        self.lost += upper

    def used(self) -> int:
        """Return what is spent or stands for open requests, anywhere, as far as is known here."""
        balance = self.balance
        elsewhere = balance.settled + balance.lost + balance.reserved - self.sent_open
        return elsewhere + self.open + self.settled + self.lost

    def state(self) -> AccountState:
        """Return where it stands, as far as is known here."""
        balance = self.balance
        return AccountState(
            self.name,
            self.window,
            balance.settled + self.settled,
            balance.lost + self.lost,
            balance.leased,
            balance.reserved - self.sent_open + self.open,
        )

    def pressure(self, now_s: float) -> float:
        """Return what to multiply the willingness to pay by."""
        used, limit = self.used(), self.rule.limit_nano
        if used <= self.soft_nano and limit:
            return 1.0
        elapsed = min(max((now_s - self.start_s) / self.length_s, 0.0), 1.0)
        return paced_pressure(used / limit, self.rule.soft_share, elapsed) if limit else 0.0

    def refusal(self, upper: int, now_mono: float) -> BudgetExceededError | None:
        """Return why an amount is surely refused; None where the ledger may have it."""
        self.touched_at = now_mono
        self._largest = max(self._largest, min(upper, self.rule.limit_nano))
        refused, until = self._refused
        spent = self.balance.settled + self.balance.lost + self.settled + self.lost
        if spent + upper > self.rule.limit_nano or (now_mono < until and upper >= refused):
            return self.exceeded(upper)
        return None

    def refuse(self, upper: int, now_mono: float) -> BudgetExceededError:
        """Return the refusal that the ledger's answer makes, and keep to it for a moment without asking again."""
        self._refused = (upper, now_mono + _REFUSED_S)
        return self.exceeded(upper)

    def exceeded(self, upper: int) -> BudgetExceededError:
        """Return the error for an amount that the budget does not have."""
        left = max(self.rule.limit_nano - self.used(), 0)
        return BudgetExceededError(
            f"the budget {self.name} of {usd(self.rule.limit_nano):.6g} USD has {usd(left):.6g} USD left, and this "
            f"request may cost up to {usd(upper):.6g} USD: ask for less output or a cheaper model, wait until it "
            f"starts anew at {window_end(self.window):%Y-%m-%dT%H:%M:%SZ}, or have the limit raised",
            self.name,
        )

    def may_have(self, upper: int) -> bool:
        """Return whether an amount that was not granted may be granted soon.

        Others can be asked to give back what they have leased without having a request for it.
        """
        balance = self.balance
        if balance.limit is None:
            return True  # the rules have changed under us, and are being read
        unleased = self._unleased()
        idle_elsewhere = max(balance.leased - balance.lease - (balance.reserved - self.sent_open), 0)
        return self.available + unleased + idle_elsewhere >= upper

    def _unleased(self) -> int:
        balance = self.balance
        if balance.limit is None:
            return 0
        return max(balance.limit - balance.settled - balance.lost - balance.leased, 0)

    def tick(self, seconds: float) -> None:
        """Update how fast it is used; a buffer of which half was used up since the last time doubles at once."""
        if 2 * self.reserved_since >= self._buffer > 0:
            self._boost = min(2 * self._buffer, self.rule.limit_nano)
        else:
            self._boost = int(self._boost * max(1.0 - seconds / self.buffer_s, 0.0))
        if seconds > 0:
            if self.reserved_since or self._averaged_s:  # from the first request on: a young worker knows its traffic
                self._averaged_s = min(self._averaged_s + seconds, _AVERAGE_S)
                weight = min(seconds / self._averaged_s, 1.0)
                self._burn_per_s += weight * (self.reserved_since / seconds - self._burn_per_s)
            self.reserved_since = 0

    def entry(self, now_mono: float, *, current: bool) -> Entry | None:
        """Return what to tell and ask the ledger, None where there is nothing; what goes back is withheld from now."""
        held = self.lease - self.settled - self.lost
        least = self.open + self.needed
        idle = now_mono - self.touched_at >= self.idle_s
        if idle:
            self._burn_per_s = self._averaged_s = 0.0
        spare = current and not idle and now_mono >= self._contended_until
        burning = max(int(self.buffer_s * self._burn_per_s), self._boost)
        ahead = min(int(self.ahead_s * self._burn_per_s), self._unleased() // self.ahead_share)
        buffer = max(self.buffer_requests * self._largest, burning, ahead) if spare else 0
        target = least + buffer
        if spare and target < held <= 2 * target:
            target = held
        stale = current and not idle and now_mono - self.synced_at >= self.resync_s
        if not (self.settled or self.lost or self.needed or target != held or self.open != self.sent_open or stale):
            return None
        self._buffer = buffer
        if target < held:
            self.available -= held - target
        return Entry(self.name, self.window, self.settled, self.lost, self.open, least, target)

    def apply(self, entry: Entry, balance: Balance, now_mono: float) -> None:
        """Take the ledger's answer over."""
        self.settled -= entry.settled
        self.lost -= entry.lost
        self.lease, self.balance, self.sent_open, self.synced_at = balance.lease, balance, entry.open, now_mono
        self.release()
        self.low = min(self._buffer, max(self.available, 0)) // 2
        if balance.contended:
            self._contended_until = now_mono + _CONTENDED_S

    def release(self) -> None:
        """Withhold nothing."""
        self.available = self.lease - self.open - self.settled - self.lost

    def holds_nothing(self) -> bool:
        """Return whether it can be forgotten here."""
        return not (self.lease or self.open or self.settled or self.lost or self.needed)
