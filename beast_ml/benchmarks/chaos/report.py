"""The report of a run: ``report.json`` for programs, ``report.md`` for people."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.chaos.run import ChaosConfig, ChaosResult
from beast_ml.benchmarks.chaos.uptime import ALLOWED_MIN, ASSUMPTIONS, Uptime, YearRow, uptime
from beast_ml.benchmarks.chaos.window import FaultRow
from beast_ml.benchmarks.serving.surroundings import machine, markdown_table, versions

__all__ = ["COLUMNS", "describe", "summary", "table", "to_markdown"]

COLUMNS: Final = ("fault", "times", "requests", "failed", "while it lasts", "longest gap", "recovery", "invariants")
"""Of the table of faults."""
_YEAR_COLUMNS: Final = ("fault", "a year", "lasts", "failed while it lasts", "recovery", "one host", "three hosts")
_HOW_TO_READ: Final = (
    "Requests: chat completions of three tenants in turn through the gateway, at a steady rate from another process, "
    "due from the fault until all was quiet for 3 s. Failed: neither answered nor refused because the tight tenant's "
    "budget was spent, by status; all are named for that fault, or they stand under invariants. While it lasts: share "
    "that was answered, or refused for its budget, before the cause was gone. Gap: longest time without an answer. "
    "Recovery: from when the cause was gone until the last failure. Of a fault staged several times counts are sums, "
    "times the longest."
)
_LEDGER: Final = (
    "no budget holds more than its limit (settled + lost + leased, exact nano-dollars), and the provider is owed no "
    "more than is booked, in all and of each tenant"
)
_INVARIANTS: Final = (
    "every request that was answered has its row in the log, under its tenant",
    _LEDGER,
    "no answer is another prompt's, and no call of the provider answered two tenants",
    "within 30 s after the cause is gone all is well again",
    "no status that is not named for the fault, and none but 2xx (and 402 of the tight budget) while nothing is broken",
)


def describe(config: ChaosConfig, result: ChaosResult, command: str) -> dict[str, Any]:
    """Return everything as plain values: what ``report.json`` holds."""
    found = uptime(config.faults, result.rows)
    return {
        "command": command,
        "settings": {
            "faults": [fault.name for fault in config.faults],
            "rate": config.rate,
            "workers": config.workers,
            "broken_s": config.broken_s,
            "minutes": config.minutes,
            "seed": config.seed,
        },
        "machine": machine(len(os.sched_getaffinity(0))),
        "versions": versions(),
        "holds": result.holds,
        "wrong": list(result.wrong),
        "totals": dict(result.totals),
        "faults": msgspec.to_builtins(result.rows),
        "not_permitted": dict(result.not_permitted),
        "uptime": {
            **msgspec.to_builtins(found),
            "allowed_min": ALLOWED_MIN,
            "shares": list(found.shares),
            "assumptions": list(ASSUMPTIONS),
        },
        "seconds": result.seconds,
    }


def table(result: ChaosResult) -> list[tuple[str, ...]]:
    """Return the rows of the table of faults, under `COLUMNS`."""
    rows = [_row(row) for row in result.rows]
    return rows + [(name, "not permitted here", *[""] * 5, why) for name, why in result.not_permitted.items()]


def summary(result: ChaosResult, found: Uptime) -> str:
    """Return it in a sentence or two."""
    totals = result.totals
    one, three = found.shares
    held = "all invariants held" if result.holds else "INVARIANTS WERE BROKEN"
    return (
        f"{len(result.rows)} faults, {totals['requests']:,} requests, {totals['failed']:,} failed; "
        f"{totals['acknowledged_rows_checked']:,} acknowledged rows checked: {held}. "
        f"With the assumed rates {found.one_host_min:.1f} min a year on one host ({one:.4%} up), "
        f"{found.three_hosts_min:.1f} on three ({three:.4%}); 99.99% leave {ALLOWED_MIN:.1f}."
    )


def to_markdown(config: ChaosConfig, result: ChaosResult, command: str) -> str:
    """Return the report for people."""
    found = uptime(config.faults, result.rows)
    parts = [
        "# Chaos",
        f"`{command}`",
        summary(result, found),
        "Checked after each fault and at the end:",
        "\n".join(f"- {each}" for each in _INVARIANTS),
        _HOW_TO_READ,
        _where(),
        "\n".join(markdown_table(COLUMNS, table(result))),
    ]
    if result.wrong:
        parts += ["## Broken", "\n".join(f"- {each}" for each in result.wrong)]
    parts += [
        "## What was done",
        "\n".join(f"- **{fault.name}**: {fault.does}" for fault in config.faults),
        "## A year",
        "\n".join(f"- {each}" for each in ASSUMPTIONS),
        "\n".join(markdown_table(_YEAR_COLUMNS, [*map(_year_row, found.rows), _sum_row(found)])),
        "Of the providers, with nobody else to ask; not in the sum:",
        "\n".join(markdown_table(_YEAR_COLUMNS, list(map(_year_row, found.providers)))),
        "Counts of the run: " + ", ".join(f"{name} {n:,}" for name, n in result.totals.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _where() -> str:
    found = machine(len(os.sched_getaffinity(0)))
    place = f"On {found['cpu']}, {found['cores']} cores, Python {found['python']}"
    return f"{place}; load average at the end {found['load_average']}."


def _row(row: FaultRow) -> tuple[str, ...]:
    failed = ", ".join(f"{n} x {what}" for what, n in row.failed.items())
    return (
        row.name,
        str(row.times),
        f"{row.requests:,}",
        failed or "0",
        "" if row.share_while is None else f"{row.share_while:.0%}",
        f"{row.gap_s:.1f} s",
        f"{row.recovery_s:.1f} s",
        "hold" if not row.wrong else "; ".join(row.wrong),
    )


def _year_row(row: YearRow) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.per_year:g}",
        f"{row.lasts_s:g} s" if row.lasts_s else "",
        f"{row.down_while:.0%}" if row.lasts_s else "",
        f"{row.recovery_s:.1f} s",
        f"{row.one_host_min:.2f} min",
        f"{row.three_hosts_min:.2f} min",
    )


def _sum_row(found: Uptime) -> tuple[str, ...]:
    return ("**sum**", "", "", "", "", f"{found.one_host_min:.1f} min", f"{found.three_hosts_min:.1f} min")
