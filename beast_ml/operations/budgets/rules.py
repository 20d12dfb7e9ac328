"""What may be spent by whom in which period, and the names of the accounts that it is booked on.

An account is a rule made concrete: ``user:acme/bob:day``. It starts anew with each window of its period, ``2026-11-25``
or ``2026-11``, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast
from urllib.parse import quote, unquote

import msgspec

from beast_ml.domain.money import nano_usd, usd
from beast_ml.errors import InputError

__all__ = [
    "PERIODS",
    "BudgetRule",
    "BudgetStatus",
    "account_names",
    "account_parts",
    "paced_pressure",
    "rules_by_name",
    "rules_of_account",
    "tenant_of_account",
    "window_end",
    "window_of",
    "window_start",
    "windows_at",
]

Scope = Literal["global", "tenant", "user"]
Period = Literal["day", "month"]

PERIODS: Final[tuple[Period, ...]] = ("day", "month")
"""All of `Period`."""

_SCOPES: Final[tuple[Scope, ...]] = ("global", "tenant", "user")
_MAX_NANO: Final = 2**62


class BudgetRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit on what may be spent.

    Parameters
    ----------
    scope
        ``global``, each ``tenant``, or each ``user`` of a tenant. Requests that name no user count as one user.
    key
        The tenant; ``tenant/user`` or ``tenant/*``; ``*``: each one has this budget for itself. The narrowest holds.
    period
        ``day`` or ``month``, UTC.
    limit_nano
        The hard limit in nano-dollars: what would overspend it is refused.
    soft_share
        The share of it from which on cheaper models are preferred, more and more.

    Raises
    ------
    InputError
        If a value is out of range, or the key does not fit the scope.
    """

    scope: Scope
    limit_nano: int
    key: str = "*"
    period: Period = "day"
    soft_share: float = 0.8

    def __post_init__(self) -> None:
        if self.scope not in _SCOPES:
            raise InputError(f"`scope` == {self.scope!r}, must be one of {', '.join(_SCOPES)}")
        if self.period not in PERIODS:
            raise InputError(f"`period` == {self.period!r}, must be day or month")
        if not 0 <= self.limit_nano < _MAX_NANO:
            raise InputError(f"`limit_nano` == {self.limit_nano}, must be >= 0 and below {_MAX_NANO}")
        if not 0 < self.soft_share <= 1:
            raise InputError(f"`soft_share` == {self.soft_share}, must be above 0 and at most 1")
        if not self.key or (self.scope == "global" and self.key != "*"):
            raise InputError(f"`key` of a {self.scope} budget == {self.key!r}, must be '*' or name whom it is for")
        if self.scope == "user" and self.key != "*" and "/" not in self.key:
            raise InputError(f"`key` of a user budget == {self.key!r}, must be '*', 'tenant/*' or 'tenant/user'")

    @classmethod
    def from_usd(
        cls, scope: Scope, limit_usd: float, key: str = "*", period: Period = "day", soft_share: float = 0.8
    ) -> BudgetRule:
        """Return a rule whose limit is given in USD, as settings have it."""
        return cls(scope=scope, limit_nano=nano_usd(limit_usd), key=key, period=period, soft_share=soft_share)

    @property
    def name(self) -> str:
        """Name that stands in ledgers and errors, such as ``tenant:acme:day``."""
        return f"{self.scope}:{_quoted_key(self.scope, self.key)}:{self.period}"


class BudgetStatus(msgspec.Struct, frozen=True):
    """What became of a budget in the period that runs; amounts in nano-dollars.

    Parameters
    ----------
    budget
        Its name, such as ``tenant:acme:day``.
    spent_nano
        Settled.
    reserved_nano
        Upper amounts of requests in flight.
    lost_nano
        Upper amounts of requests that ended without telling what they cost: counted as spent until they do.
    left_nano
        What new requests may still reserve.
    resets_at
        When the next period begins.
    scope, key, period, limit_nano, soft_share
        As in its rule.
    """

    budget: str
    scope: Scope
    key: str
    period: Period
    limit_nano: int
    spent_nano: int
    reserved_nano: int
    lost_nano: int
    left_nano: int
    soft_share: float
    resets_at: datetime

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, amounts in USD too."""
        plain: dict[str, object] = msgspec.structs.asdict(self) | {"resets_at": self.resets_at.isoformat()}
        for amount in ("limit", "spent", "reserved", "lost", "left"):
            plain[f"{amount}_usd"] = usd(getattr(self, f"{amount}_nano"))
        return plain


def rules_by_name(rules: Iterable[BudgetRule]) -> dict[str, BudgetRule]:
    """Return rules by their names.

    Raises
    ------
    InputError
        If two rules set the same budget.
    """
    named: dict[str, BudgetRule] = {}
    for rule in rules:
        if rule.name in named:
            raise InputError(f"two rules set the budget {rule.name}: leave one")
        named[rule.name] = rule
    return named


def account_names(tenant: str, user: str | None) -> list[str]:
    """Return all accounts that a request could be booked on, if there were rules for all of them.

    Examples
    --------
    >>> account_names("acme", "bob")[::2]
    ['global:*:day', 'tenant:acme:day', 'user:acme/bob:day']
    """
    quoted = quote(tenant, safe="")
    subjects = (("global", "*"), ("tenant", quoted), ("user", f"{quoted}/{quote(user or '', safe='')}"))
    return [f"{scope}:{subject}:{period}" for scope, subject in subjects for period in PERIODS]


def rules_of_account(account: str) -> tuple[str, ...]:
    """Return the names of the rules that may set an account's limit; the first one that exists does.

    Examples
    --------
    >>> rules_of_account("user:acme/bob:day")
    ('user:acme/bob:day', 'user:acme/*:day', 'user:*:day')
    """
    scope, subject, period = account.split(":")
    if scope == "global":
        return (account,)
    if scope == "tenant":
        return account, f"tenant:*:{period}"
    return account, f"user:{subject.partition('/')[0]}/*:{period}", f"user:*:{period}"


def account_parts(account: str) -> tuple[Scope, str, Period]:
    """Return an account's scope, its subject as people write it, and its period."""
    scope, subject, period = account.split(":")
    return cast("Scope", scope), unquote(subject), cast("Period", period)


def tenant_of_account(account: str) -> str:
    """Return whose account it is; empty for a global one."""
    scope, subject, _ = account.split(":")
    return "" if scope == "global" else unquote(subject.partition("/")[0])


def window_of(period: str, at: datetime) -> str:
    """Return the window of a period that a time is in.

    Examples
    --------
    >>> window_of("month", datetime(2026, 11, 25, tzinfo=UTC))
    '2026-11'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def windows_at(seconds: float) -> tuple[str, str]:
    """Return the day and the month of a time in seconds since 1970.

    Examples
    --------
    >>> windows_at(0.0)
    ('1970-01-01', '1970-01')
    """
    at = datetime.fromtimestamp(seconds, UTC)
    return window_of("day", at), window_of("month", at)


def window_start(window: str) -> datetime:
    """Return when a window begins."""
    return datetime.strptime(window, "%Y-%m-%d" if len(window) > len("2026-11") else "%Y-%m").replace(tzinfo=UTC)


def window_end(window: str) -> datetime:
    """Return when a window ends.

    Examples
    --------
    >>> window_end("2026-12").isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    start = window_start(window)
    if len(window) > len("2026-11"):
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


def paced_pressure(used_share: float, soft_share: float, elapsed: float) -> float:
    """Return what to multiply the willingness to pay by: 1 below the soft share, falling smoothly to 0 at the limit.

    Who has used no larger share of the budget than has passed of the period keeps the pace and is not throttled
    beyond the soft share either.

    Examples
    --------
    >>> [paced_pressure(used, 0.8, elapsed=0.5) for used in (0.8, 0.9, 1.0)]
    [1.0, 0.5, 0.0]
    >>> paced_pressure(0.9, 0.8, elapsed=0.95)
    1.0
    """
    start = max(soft_share, min(elapsed, 0.99))
    if used_share >= 1.0:
        return 0.0
    if used_share <= start:
        return 1.0
    x = (used_share - start) / (1.0 - start)
    return 1.0 - x * x * (3.0 - 2.0 * x)


def _quoted_key(scope: str, key: str) -> str:
    if key == "*":
        return key
    if scope != "user":
        return quote(key, safe="")
    tenant, _, user = key.partition("/")
    return f"{quote(tenant, safe='')}/{user if user == '*' else quote(user, safe='')}"
