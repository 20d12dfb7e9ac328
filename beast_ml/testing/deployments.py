"""A small deployment on disk, without a server: something in each part that a backup holds."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.logs.ingest import ingest
from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.operations.backup.places import Places
from beast_ml.operations.budgets.ledger import Batch, Entry
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.keys.store import KeyStore
from beast_ml.registry.bundle_pointer import BundlePointer, PointerFolder, write_pointer
from beast_ml.registry.config import TrackingConfig
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.log_rows import routed_request, write_json_lines

__all__ = ["LIMIT_NANO", "append_request", "make_deployment", "places_of", "spend"]

LIMIT_NANO = 10**9
"""What acme may spend on a day: a dollar."""


def places_of(root: Path, database_url: str | None = None) -> Places:
    """Return where a deployment in a folder keeps its parts, by default."""
    return Places(
        root / "data/serving",
        root / "data/logs",
        root / "data/quarantine",
        root / "data/learning",
        TrackingConfig(f"sqlite:///{root / 'mlflow.db'}", root / "mlartifacts"),
        settings=root / "mlflow.yaml",
        database_url=database_url,
    )


def make_deployment(root: Path) -> Places:
    """Fill a folder with a deployment: a key, a budget of a dollar a day, an entry of the cache, a log, a registry."""
    places = places_of(root)
    state = places.state
    state.mkdir(parents=True)
    (root / "mlflow.yaml").write_text("serving: {workers: 1}\n")
    for name in ("secret", "admin.key"):
        (state / name).write_text(f"the {name}")
        (state / name).chmod(0o600)
    (state / "experiments.json").write_text('{"experiments": []}')
    (state / "metrics").mkdir()
    (state / "metrics" / "counter").write_text("1")
    with closing(KeyStore.open(state)) as keys:
        keys.create("acme")
    spend(f"sqlite:///{state / 'state.db'}", 10**8, datetime(2026, 3, 1, 12, tzinfo=UTC))
    tier = SqlTier.open(f"sqlite:///{state / 'cache.db'}")
    for tenant in ("acme", "other"):
        key = cache_key(tenant, f"the words of {tenant}")
        tier.put_many([cache_entry(f"of-{tenant}", key, time.time(), answer=f"the answer to {tenant}".encode())])
    tier.close()
    rows = [routed_request(request_id=f"stored-{i}", cost_usd=0.01) for i in range(5)]
    ingest([write_json_lines(root / "log.jsonl", rows)], LogStore(places.logs), places.quarantine)
    (root / "log.jsonl").unlink()
    with SegmentWriter(state / "segments") as writer:
        append_request(writer, "segment-1")
    places.learning.mkdir()
    (places.learning / "loop.json").write_text("{}")
    bundle = root / "cache" / "bundles" / ("d" * 64)
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("{}")
    pointer = BundlePointer("models:/beast-router@champion", str(bundle), 1, "d" * 64)
    write_pointer(PointerFolder(state).pointer, pointer)
    places.tracking.artifacts.mkdir()
    (places.tracking.artifacts / "model.txt").write_text("weights")
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE runs (artifact_uri TEXT)")
        for uri in (f"file://{root}/mlartifacts/run", f"{root}/mlartifacts/run", f"{root}/mlartifacts-other"):
            connection.execute("INSERT INTO runs VALUES (?)", (uri,))
    return places


def append_request(writer: SegmentWriter, request_id: str, **changes: object) -> None:
    """Add a request to the segment that a worker writes."""
    row = {"table": "requests"} | routed_request(request_id=request_id, **changes)
    writer.append(json.dumps(row).encode())


def spend(url: str, nano: int, at: datetime, lease_nano: int = 0) -> None:
    """Book what acme spent on a day on a ledger, of a dollar a day; a worker holds a lease besides."""
    ledger = SqlLedger.open(url, FakeClock(at))
    ledger.set_rules([BudgetRule(scope="tenant", key="acme", limit_nano=LIMIT_NANO)], declared="once")
    entry = Entry("tenant:acme:day", f"{at:%Y-%m-%d}", settled=nano, target=lease_nano, least=lease_nano)
    ledger.exchange(Batch(f"worker-{time.time_ns()}", 1, at.timestamp(), (entry,)))
    ledger.close()
