"""What is asked of costs: which requests, told apart by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, get_args

from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.logs.sql_values import text_sql, time_sql

__all__ = ["DIMENSIONS", "FROM_CACHE", "UTC_DAY", "CostQuestion", "Dimension", "requests_where"]

Dimension = Literal["request", "model", "user", "tenant", "app", "kind", "day"]
"""What costs can be told by."""

UTC_DAY: Final = "DATE '1970-01-01' + CAST(epoch_us(received_at) // 86400000000 AS INTEGER)"
"""The day of a row: plain arithmetic, three times as fast as asking a calendar, for UTC has 24 hours a day."""

DIMENSIONS: Final[dict[Dimension, str]] = {
    "request": "request_id",
    "model": "coalesce(served_model, chosen_model)",
    "user": "tenant_id || '/' || user_id",  # users of two tenants may share a name
    "tenant": "tenant_id",
    "app": "coalesce(app, context['app'])",
    "kind": "coalesce(request_kind, context['task'])",
    "day": UTC_DAY,
}
"""What costs are told apart by, and how it is read from a row of the log."""

FROM_CACHE: Final = "coalesce(cache_result IN ('exact', 'semantic'), false)"
"""Whether a row of the log was answered by the cache, so that no model was paid."""


@dataclass(frozen=True)
class CostQuestion:
    """Which requests, told apart by what.

    Parameters
    ----------
    by
        Any of `DIMENSIONS`, in this order; empty: the total alone.
    since, until
        Received at or after, and before; aware times.
    tenant
        Whose requests; None: everybody's.
    prices
        Model -> a price that its tokens are to be reckoned at, too.
    limit
        The groups that cost most, by day those of the newest days; None: all.

    Raises
    ------
    InputError
        If there is no such dimension, one is named twice, or a time has no zone.
    """

    by: tuple[Dimension, ...] = ("model",)
    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in self.by:
            if name not in get_args(Dimension):
                raise InputError(f"`by` has {name!r}, must be of {', '.join(get_args(Dimension))}")
            if self.by.count(name) > 1:
                raise InputError(f"`by` has {name!r} twice: name it once")

    def where(self) -> str:
        """Return the condition on the log's rows, in SQL."""
        return requests_where(self.since, self.until, self.tenant)


def requests_where(since: datetime | None, until: datetime | None, tenant: str | None = None) -> str:
    """Return the condition, in SQL, that a request was received in a time, and is a tenant's.

    Raises
    ------
    InputError
        If a time has no zone.
    """
    conditions = ["true"] if tenant is None else [f"tenant_id = {text_sql(tenant)}"]
    for name, time, sign in (("since", since, ">="), ("until", until, "<")):
        if time is None:
            continue
        if time.tzinfo is None:
            raise InputError(f"`{name}` == {time.isoformat()} has no time zone, give an aware time")
        conditions.append(f"received_at {sign} {time_sql(time)}")
    return " AND ".join(conditions)
