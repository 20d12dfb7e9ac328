"""A log of an experiment whose truth is known, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from beast_ml.experiments.assignment import Assigner
from beast_ml.experiments.definitions import Experiment, Variant
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore

__all__ = ["BEGAN", "experiment_of", "experiment_store"]

BEGAN: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""When the experiment began."""


def experiment_of(*variants: str, **changed: Any) -> Experiment:
    """Return an experiment with equal shares of the control and these variants (default: ``new``)."""
    names = ("control", *(variants or ("new",)))
    shares = {name: 1.0 / len(names) for name in names}
    policies: dict[str, Any] = {"control": "champion"}
    arms = tuple(Variant(name=n, policy=policies.get(n, "challenger"), share=s) for n, s in shares.items())
    return Experiment(id="trial", variants=arms, **changed)


def experiment_store(
    folder: Path,
    experiment: Experiment,
    n: int,
    quality: Mapping[str, float],
    errors: Mapping[str, float],
    seed: int = 0,
    ramped: Experiment | None = None,
) -> LogStore:
    """Return a store with n requests of the day before the experiment and n of its own, a minute apart.

    Parameters
    ----------
    folder
        Of the store.
    experiment
        Draws the users, of whom each has four requests on average.
    n
        Requests of each half.
    quality, errors
        Variant -> mean quality, and rate of errors; users differ in quality. Before the experiment all is as under
        the control.
    seed
        Of the draws.
    ramped
        What the experiment is from its middle on; None: the same.
    """
    rng, assigner = np.random.default_rng(seed), Assigner(experiment)
    later = assigner if ramped is None else Assigner(ramped)
    taste = rng.normal(0.0, 0.2, size=max(n // 4, 1))
    rows = []
    for i in range(2 * n):
        user = int(rng.integers(len(taste)))
        during = i >= n
        at = BEGAN + timedelta(minutes=i - n)
        by = assigner if i < n + n // 2 else later
        drawn = by.assign(by.unit("acme", f"user-{user}", None, f"r{i}"))
        variant = (drawn.variant if during else None) or "control"
        failed = rng.random() < errors[variant]
        rows.append(
            dict.fromkeys(REQUEST_SCHEMA.names)
            | {
                "request_id": f"r{i}",
                "received_at": at,
                "tenant_id": "acme",
                "user_id": f"user-{user}",
                "candidates": ["small", "large"],
                "chosen_model": "small",
                "propensity": 1.0,
                "experiment_id": experiment.id if during and drawn.variant else None,
                "variant": drawn.variant if during else None,
                "cache_result": "miss",
                "status": "error" if failed else "ok",
                "error_kind": "server" if failed else None,
                "served_model": None if failed else "small",
                "latency_s": None if failed else float(rng.lognormal()),
                "cost_usd": None if failed else 0.001,
                "quality": None
                if failed
                else float(np.clip(quality[variant] + taste[user] + rng.normal(0, 0.2), 0, 1)),
                "quality_source": None if failed else "judge",
                "feedback_at": None if failed else at + timedelta(seconds=30),
            }
        )
    store = LogStore(folder)
    store.append_requests(pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA))
    return store
