"""Logs of several tenants whose costs, qualities and latencies are known, for tests of what is reported of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore

__all__ = ["COSTLY_START", "costly_log", "costly_rows"]

COSTLY_START: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""

_PRICE: Final = {"large": (2.5, 10.0), "small": (0.15, 0.6)}
_DAY_S: Final = 86_400.0


def costly_rows(
    days: int = 14,
    per_day: int = 60,
    *,
    seed: int = 0,
    change: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Iterator[dict[str, Any]]:
    """Yield requests of two tenants, both of whom have a user ann; weekends have half as many.

    A twentieth fails, a twentieth comes from the cache, of a twentieth nobody knows the cost. Predictions of costs are
    4/5 of the truth on average.

    Parameters
    ----------
    change
        Applied to every row, in place.
    """
    rng = np.random.default_rng(seed)
    number = 0
    for day in range(days):
        n = per_day if day % 7 < 5 else per_day // 2
        for second in np.sort(rng.uniform(0, _DAY_S, n)).tolist():
            model = ("large", "small")[int(rng.integers(2))]
            tokens = [int(x) for x in rng.lognormal(5.5, 0.5, 2)]
            per_input, per_output = _PRICE[model]
            cost = (tokens[0] * per_input + tokens[1] * per_output) / 1e6
            row: dict[str, Any] = {
                "request_id": f"r{number:06}",
                "received_at": COSTLY_START + timedelta(days=day, seconds=second),
                "tenant_id": ("acme", "globex")[int(rng.integers(2))],
                "user_id": ("ann", "bob", None)[int(rng.integers(3))],
                "app": ("chat", "editor")[int(rng.integers(2))],
                "context": {},
                "request_kind": ("code", "maths")[int(rng.integers(2))],
                "input_tokens": tokens[0],
                "candidates": ["large", "small"],
                "chosen_model": model,
                "propensity": 0.5,
                "policy_version": "v1",
                "cache_result": "miss",
                "status": "ok",
                "attempts": [{"model": model, "status": "ok", "error_kind": None, "latency_s": 1.0}],
                "served_model": model,
                "latency_s": float(rng.lognormal(0.0, 0.4)),
                "output_tokens": tokens[1],
                "cost_usd": cost,
                "predicted_cost_usd": cost * float(rng.uniform(0.6, 1.0)),
                "quality": float(rng.random() < 0.8) if rng.random() < 0.5 else None,
            }
            row |= _fate(model, float(rng.random()))
            if row["quality"] is not None:
                row |= {"quality_source": "judge", "feedback_at": row["received_at"] + timedelta(hours=1)}
            change(row)
            number += 1
            yield row


def costly_log(folder: Path, days: int = 14, per_day: int = 60, **options: Any) -> LogStore:
    """Return a store with the rows of `costly_rows`."""
    store = LogStore(folder)
    store.append_requests(pa.Table.from_pylist(list(costly_rows(days, per_day, **options)), REQUEST_SCHEMA))
    return store


def _fate(model: str, drawn: float) -> dict[str, Any]:
    nothing = {"served_model": None, "output_tokens": None, "cost_usd": None, "quality": None}
    if drawn < 0.05:
        call = {"model": model, "status": "error", "error_kind": "provider", "latency_s": 1.0}
        return nothing | {"status": "error", "error_kind": "provider", "attempts": [call]}
    if drawn < 0.10:
        chosen: dict[str, Any] = {"chosen_model": None, "propensity": None, "predicted_cost_usd": None, "attempts": []}
        return nothing | chosen | {"cache_result": "exact", "cost_usd": 0.0, "latency_s": 0.01}
    return {"cost_usd": None} if drawn < 0.15 else {}
