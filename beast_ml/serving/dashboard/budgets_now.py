"""What budgets have left, by the ledger that keeps them: hosts that share none spend each up to the whole limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from beast_ml.operations.budgets.rules import window_end, window_of
from beast_ml.serving.dashboard.metric_history import MetricHistory
from beast_ml.serving.dashboard.server_watch import ServerWatch

__all__ = ["apart", "budgets_now"]

_BURN_S: Final = 600.0
_BURN_FROM_S: Final = 300.0
_MOST_NAMES: Final = 3


def budgets_now(watches: Sequence[ServerWatch], now_s: float) -> list[dict[str, Any]]:
    """Return the budgets of every ledger, the most used first, as plain values.

    Of servers that share a ledger, the least that any of them knows to be left counts. Servers that do not tell their
    ledger are taken to share one.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for watch in watches:
        ledger = _ledger(watch.history)
        for name, told in _budgets_of(watch.history, now_s).items():
            known = found.get((name, ledger))
            servers = [*(known["servers"] if known else ()), watch.url]
            least = known if known and known["left_usd"] <= told["left_usd"] else told
            found[name, ledger] = {**least, "servers": servers, "ledger": ledger}
    return sorted(found.values(), key=lambda each: (-each["used_share"], each["budget"], each["ledger"]))


def apart(budgets: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence where the same budget is kept by several ledgers, which may be meant for one; else None."""
    kept: dict[str, list[Mapping[str, Any]]] = {}
    for each in budgets:
        kept.setdefault(each["budget"], []).append(each)
    several = {name: rows for name, rows in sorted(kept.items()) if len(rows) > 1}
    if not several:
        return None
    groups = dict.fromkeys(", ".join(row["servers"]) for rows in several.values() for row in rows)
    shown = []
    for name, rows in list(several.items())[:_MOST_NAMES]:
        together = sum(row["limit_usd"] for row in rows)
        shown.append(f"{name} (together up to ${together:,.2f}, ${sum(row['left_usd'] for row in rows):,.2f} left)")
    more = len(several) - len(shown)
    names = ", ".join(shown) + (f" and {more} more" if more else "")
    return (
        f"These do not share their budgets: {' | '.join(groups)}. Each may spend the whole limit of {names}. Where one "
        "limit is meant for all, give all of them the same BEAST_DATABASE_URL."
    )


def _ledger(history: MetricHistory) -> str:
    told = [dict(each.labels)["ledger"] for each in history.latest("beast_budget_ledger_info")]
    return told[-1] if told else ""


def _budgets_of(history: MetricHistory, now_s: float) -> dict[str, dict[str, Any]]:
    limits = {dict(each.labels)["budget"]: value for each, value in history.latest("beast_budget_limit_usd").items()}
    before = history.gauge_since("beast_budget_left_usd", now_s - _BURN_S)
    # A budget is told of from its first spending on, and burnt nothing before: so that the same money burns at the same
    # rate in all budgets that it is taken from, they all have the one span.
    since_s = min((at_s for at_s, _ in before.values()), default=now_s)
    span_s = (history.last_s or now_s) - since_s
    found = {}
    for series, left in history.latest("beast_budget_left_usd").items():
        name = dict(series.labels)["budget"]
        if name not in limits:
            continue
        # A window that began anew has more left than before: then nothing is known of how fast it burns.
        burnt = before[series][1] - left
        per_h = 3600.0 * burnt / span_s if span_s >= _BURN_FROM_S and burnt >= 0 else None
        found[name] = {
            "budget": name,
            "limit_usd": limits[name],
            "left_usd": left,
            "used_share": 1.0 - left / limits[name] if limits[name] > 0 else 1.0,
            "burn_usd_per_h": per_h,
            "empty_in_s": 3600.0 * left / per_h if per_h else None,
            "resets_in_s": _window_left_s(name, now_s),
        }
    return found


def _window_left_s(budget: str, now_s: float) -> float:
    period = "day" if budget.endswith(":day") else "month"
    return window_end(window_of(period, datetime.fromtimestamp(now_s, UTC))).timestamp() - now_s
