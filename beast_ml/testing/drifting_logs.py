"""Logs of a router whose candidates change at a known time, for tests of drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore
from beast_ml.operations.drift.signals import DriftRow

__all__ = ["LOG_START", "drifting_log", "drifting_rows"]

LOG_START = datetime(2026, 1, 1, tzinfo=UTC)
"""When the log begins."""


def drifting_rows(
    rng: np.random.Generator,
    *,
    days: float = 36.0,
    per_day: int = 80,
    drop: float = 0.0,
    drop_day: float = 18.0,
    longer: float = 1.0,
    models: int = 2,
    dropped: int = 1,
    labelled: bool = True,
) -> Iterator[DriftRow]:
    """Yield rows in order of time, evenly spaced.

    Parameters
    ----------
    drop
        What the first ``dropped`` models lose of their quality from ``drop_day`` on, unpredicted.
    longer
        How much longer their answers get then.
    """
    for i in range(int(days * per_day)):
        day = i / per_day
        number = int(rng.integers(models))
        changed = number < dropped and day >= drop_day
        predicted = float(rng.uniform(0.6, 0.9))
        right = rng.random() < predicted - drop * changed
        yield DriftRow(
            at=LOG_START + timedelta(days=day),
            model=f"model-{number}",
            kind=("code", "chat")[int(rng.random() < 0.4)],
            policy="v1",
            input_tokens=float(rng.lognormal(4.0, 1.0)),
            output_tokens=float(rng.lognormal(5.0, 0.5)) * (longer if changed else 1.0),
            predicted_quality=predicted,
            quality=float(right) if labelled else None,
        )


def drifting_log(folder: Path, rows: Iterable[DriftRow]) -> LogStore:
    """Return a store with these rows as requests that were answered by the model that was chosen."""
    requests = [
        {
            "request_id": f"r{i:06}",
            "received_at": row.at,
            "tenant_id": "acme",
            "context": {"task": row.kind},
            "input_tokens": int(row.input_tokens or 0),
            "candidates": [row.model],
            "chosen_model": row.model,
            "propensity": 1.0,
            "policy_version": row.policy,
            "cache_result": "miss",
            "status": "ok",
            "attempts": [],
            "served_model": row.model,
            "latency_s": 1.0,
            "predicted_quality": row.predicted_quality,
            "output_tokens": int(row.output_tokens or 0),
            "quality": row.quality,
            "quality_source": None if row.quality is None else "judge",
            "feedback_at": None if row.quality is None else row.at,
        }
        for i, row in enumerate(rows)
    ]
    store = LogStore(folder)
    store.append_requests(pa.Table.from_pylist(requests, schema=REQUEST_SCHEMA))
    return store
