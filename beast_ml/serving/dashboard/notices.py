"""What a person must know before reading the figures, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from beast_ml.serving.dashboard.budgets_now import apart

__all__ = ["Notice", "notices"]


class Notice(NamedTuple):
    """A sentence, ``text``, and how bad it is, ``level``: ``info``, ``warning``, ``error``."""

    level: str
    text: str


def notices(
    servers: Sequence[Mapping[str, Any]],
    budgets: Sequence[Mapping[str, Any]],
    n_rows: int,
    places: Sequence[str],
    store_problem: str | None,
) -> list[Notice]:
    """Return what there is to know, the worst first."""
    found = []
    for server in servers:
        url, since = server["url"], _clock(server["since"])
        if server["state"] == "down":
            last = f"; figures are those of {_clock(server['last'])}" if server["last"] is not None else ""
            found.append(Notice("error", f"{url} is down since {since}: {server['problem']}{last}. It is asked again."))
        elif server["state"] == "refused":
            found.append(Notice("error", f"{url} refuses: {server['problem']}."))
        elif server["state"] == "waiting" and server["problem"]:
            found.append(Notice("info", f"No server at {url} yet ({server['problem']}). Start it with `beast serve`."))
        if server["away"]:
            found.append(Notice("warning", f"{url} does without {', '.join(server['away'])}, which does not answer."))
        if server["log_failures"]:
            found.append(Notice("error", f"{url} could not log {server['log_failures']:.0f} rows: look at its disk."))
    if (said := apart(budgets)) is not None:
        found.append(Notice("warning", said))
    if store_problem is not None:
        found.append(Notice("warning", store_problem))
    if not n_rows:
        found.append(Notice("info", f"The log is empty: no request of the last 24 hours in {' or '.join(places)}."))
    order = ("error", "warning", "info")
    return sorted(found, key=lambda each: order.index(each.level))


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S} UTC"
