"""The requests behind a point of a chart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from beast_ml.logs.endings import FAILED, REFUSED
from beast_ml.serving.dashboard.request_table import NUMBERS, TEXTS, RequestTable
from beast_ml.serving.dashboard.rescues import rescued
from beast_ml.serving.dashboard.traffic import Filters, of_filters

__all__ = ["requests_behind"]

_MOST: Final = 200
_SHOWN: Final = (*TEXTS, *(name for name in NUMBERS if name != "received_s"))


def requests_behind(table: RequestTable, filters: Filters, chart: str, from_s: float, until_s: float) -> dict[str, Any]:
    """Return the requests of a bucket that a chart counts, say of errors those that failed, of the cache the look-ups.

    At most two hundred; of the latency chart the slowest, of the cost chart the dearest, else the newest. The beginning
    of a prompt is with them where the log holds it.
    """
    rows = of_filters(table.rows(from_s), filters)
    mask = rows["received_s"] < until_s
    if chart == "errors":
        mask &= rows.where("status", *FAILED)
    elif chart == "refused":
        mask &= rows.where("status", *REFUSED)
    elif chart == "rescued":
        mask &= rescued(rows)
    elif chart == "cache":
        mask &= rows.where("cache_result", "exact", "semantic", "miss")
    elif chart == "selection":
        mask &= ~rows.where("chosen_model", "")
    rows = rows.having(mask)
    by = {"latency": "latency_s", "cost": "cost_usd"}.get(chart, "received_s")
    order = np.argsort(-np.nan_to_num(rows[by], nan=-np.inf), kind="stable")[:_MOST]
    found = []
    for i in order.tolist():
        row: dict[str, Any] = {
            "request_id": table.request_id(int(rows.places[i])),
            "received_at": datetime.fromtimestamp(rows["received_s"][i], UTC).isoformat(timespec="milliseconds"),
            "prompt": table.prompt(int(rows.places[i])),
        }
        for name in _SHOWN:
            if name in TEXTS:
                row[name] = rows.words[name][rows.codes(name)[i]] or None
            else:
                value = float(rows[name][i])
                row[name] = None if np.isnan(value) else value
        found.append(row)
    return {"n": len(rows), "rows": found}
