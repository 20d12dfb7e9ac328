"""Arithmetic of a year: how often each fault is expected, times what it was measured to cost, against 99.99%."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from beast_ml.benchmarks.chaos.fault import Fault
from beast_ml.benchmarks.chaos.window import FaultRow

__all__ = ["ALLOWED_MIN", "ASSUMPTIONS", "Uptime", "YearRow", "uptime"]

ALLOWED_MIN: Final = 0.0001 * 365.25 * 24 * 60
"""Minutes a year that 99.99% leave."""

_YEAR_S: Final = 365.25 * 86_400
_NOTICED_S: Final = 2.0

_RATES: Final = (
    "How often each fault comes a year, and how long its cause lasts until it is mended, are assumptions (columns `a "
    "year` and `lasts`): put your own in."
)
_DOWN: Final = (
    "An upper bound of what is down: a fault under which any request failed counts as if none were answered until its "
    "cause is mended (leases and the last free blocks of a disk, which others lived on here, run out), and then until "
    "the last failure. A fault without a cause that lasts (a kill) costs the longest time without an answer, or the "
    "recovery, whichever is longer."
)
_HOSTS: Final = (
    f"Three hosts: a fault of one host costs a third of the requests for at most {_NOTICED_S:g} s, in which a balancer "
    "that asks /readyz four times a second has left, and comes three times as often, for each host has its own; what "
    "they share (PostgreSQL, Valkey) meets all of them."
)
ASSUMPTIONS: Final = (
    _RATES,
    _DOWN,
    _HOSTS,
    "Faults come one at a time, and each does what it did here, whatever the load.",
    "Providers' own failures are shown, and are not added: with nobody left to ask no router answers.",
    "Not in it: releases (they drain, and fail nothing), power and network of the whole site, mistakes of operators.",
)
"""What the arithmetic stands on."""


class YearRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault costs in a year.

    Parameters
    ----------
    name, scope, per_year, lasts_s
        The fault, whom it meets, and what is assumed of it.
    down_while
        Share of requests that failed while its cause lasted here; if any did, the arithmetic takes all.
    recovery_s
        As measured.
    one_host_min, three_hosts_min
        Expected minutes a year.
    """

    name: str
    scope: str
    per_year: float
    lasts_s: float
    down_while: float
    recovery_s: float
    one_host_min: float
    three_hosts_min: float


class Uptime(msgspec.Struct, frozen=True):
    """The arithmetic.

    Parameters
    ----------
    rows
        Of the faults that were measured.
    providers
        Of those that are the providers' own: shown, and not added.
    one_host_min, three_hosts_min
        Sums, in minutes a year.
    """

    rows: tuple[YearRow, ...]
    providers: tuple[YearRow, ...]
    one_host_min: float
    three_hosts_min: float

    @property
    def shares(self) -> tuple[float, float]:
        """Share of the year that is up, with one host and with three."""
        whole = _YEAR_S / 60
        return 1 - self.one_host_min / whole, 1 - self.three_hosts_min / whole


def uptime(faults: Sequence[Fault], measured: Sequence[FaultRow]) -> Uptime:
    """Return the arithmetic of the faults that were measured."""
    by_name = {fault.name: fault for fault in faults}
    ours: list[YearRow] = []
    theirs: list[YearRow] = []
    for row in measured:
        fault = by_name[row.name]
        (theirs if fault.part == "provider" else ours).append(_year(fault, row))
    return Uptime(tuple(ours), tuple(theirs), sum(r.one_host_min for r in ours), sum(r.three_hosts_min for r in ours))


def _year(fault: Fault, row: FaultRow) -> YearRow:
    rate = fault.rate
    down_while = 0.0 if row.share_while is None else 1 - row.share_while
    if rate.lasts_s:
        each_s = (rate.lasts_s if down_while > 0 else 0.0) + row.recovery_s
    else:
        each_s = max(row.gap_s if row.n_failed else 0.0, row.recovery_s)
    # Three hosts meet a fault of one host three times as often, each time with a third of the requests.
    three_s = each_s if rate.scope == "shared" else min(each_s, _NOTICED_S)
    return YearRow(
        name=row.name,
        scope=rate.scope,
        per_year=rate.per_year,
        lasts_s=rate.lasts_s,
        down_while=down_while,
        recovery_s=row.recovery_s,
        one_host_min=rate.per_year * each_s / 60,
        three_hosts_min=rate.per_year * three_s / 60,
    )
