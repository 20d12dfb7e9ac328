"""Logs with failures whose reason is known, for tests of what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore

__all__ = ["LOG_END", "LOG_START", "Break", "failing_log"]

LOG_START: Final = datetime(2026, 3, 1, tzinfo=UTC)
"""When the log begins."""

LOG_END: Final = datetime(2026, 3, 9, tzinfo=UTC)
"""When it ends."""

Break = Callable[[dict[str, Any], np.random.Generator], None]
"""Changes a request that was answered, in place."""

_MODELS: Final = ("large", "small")
_ENDPOINTS: Final = {"large": ("large-eu", "large-us"), "small": ("small-eu",)}


def failing_log(folder: Path, *breaks: Break, n: int = 8_000, rate: float = 0.01, seed: int = 0) -> LogStore:
    """Return a store of eight days, a thousand requests each, of which a few fail all the time.

    Parameters
    ----------
    folder
        Where it lies.
    breaks
        Applied to every request in turn.
    n, rate
        Requests, and the share of them that a provider fails for no reason.
    seed
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.uniform(0, (LOG_END - LOG_START).total_seconds(), n))
    rows = []
    for i, second in enumerate(seconds.tolist()):
        model = _MODELS[int(rng.integers(2))]
        endpoint = _ENDPOINTS[model][int(rng.integers(len(_ENDPOINTS[model])))]
        row: dict[str, Any] = {
            "request_id": f"r{i:06}",
            "received_at": LOG_START + timedelta(seconds=second),
            "tenant_id": f"tenant-{rng.integers(4)}",
            "context": {},
            "input_tokens": int(rng.lognormal(5, 0.8)) + 1,
            "candidates": list(_MODELS),
            "chosen_model": model,
            "propensity": 0.5,
            "policy_version": "v1",
            "endpoint": endpoint,
            "region": endpoint[-2:],
            "status": "ok",
            "attempts": [],
            "served_model": model,
        }
        if rng.random() < rate:
            row |= {"status": "error", "error_kind": "provider", "served_model": None}
        for change in breaks:
            change(row, rng)
        rows.append(row)
    store = LogStore(folder)
    store.append_requests(pa.Table.from_pylist(rows, REQUEST_SCHEMA))
    return store
