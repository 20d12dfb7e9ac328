from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.logs.ingest import ingest
from beast_ml.logs.retention import Forgotten, forget_before
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

MARCH = date(2026, 3, 1)


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    """Return a store with a request of March 1st, two of March 2nd, and what became known of them."""
    rows = [routed_request(), cached_request(), routed_request(request_id="second", received_at="2026-03-02T23:59:59Z")]
    kept = LogStore(tmp_path / "store")
    ingest([write_json_lines(tmp_path / "log.jsonl", rows)], kept, tmp_path / "quarantine")
    for day in (1, 2):
        at = [datetime(2026, 3, day, 12, tzinfo=UTC)]
        kept.append_outcomes(pd.DataFrame({"request_id": ["routed"], "observed_at": at, "cost_usd": [float(day)]}))
        kept.append_feedback(pd.DataFrame({"request_id": ["routed"], "feedback_at": at, "quality": [day / 2]}))
        kept.append_signals(pd.DataFrame({"request_id": ["routed"], "observed_at": at, "kind": ["retry"]}))
    return kept


def test_days_before_go_with_what_became_known_on_them(store: LogStore) -> None:
    done = forget_before(store, date(2026, 3, 2))
    assert done == Forgotten((MARCH,), 1, 3, 0)
    assert json.loads(json.dumps(done.to_dict()))["days"] == ["2026-03-01"]
    assert sorted(store.requests(["request_id"])["request_id"].to_pylist()) == ["cached", "second"]
    assert store.signals()["observed_at"].to_pylist() == [datetime(2026, 3, 2, 12, tzinfo=UTC)]
    assert not (store.path / "day=2026-03-01").exists()
    assert forget_before(store, date(2026, 3, 2)) == Forgotten((), 0, 0, 0)


def test_nothing_of_the_day_itself_goes(store: LogStore) -> None:
    assert forget_before(store, MARCH) == Forgotten((), 0, 0, 0)
    assert store.count() == 3


def test_a_file_of_late_rows_stays_while_anything_in_it_is_younger(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "store")
    times = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 5)]
    store.append_signals(pd.DataFrame({"request_id": ["a", "b"], "observed_at": times, "kind": ["retry", "retry"]}))
    assert forget_before(store, date(2026, 3, 5)).n_late_files == 0
    assert store.signals(since=times[1]).num_rows == 1
    assert store.signals(until=times[1]).num_rows == 1
    assert forget_before(store, date(2026, 3, 6)).n_late_files == 1
    assert store.signals().num_rows == 0


def test_quarantined_rows_go_by_when_they_were_set_apart(store: LogStore, tmp_path: Path) -> None:
    folder = tmp_path / "quarantine"
    for name, day in (("old", 1), ("new", 2)):
        (folder / f"{name}.jsonl").write_text("{}\n")
        seconds = datetime(2026, 3, day, 12, tzinfo=UTC).timestamp()
        os.utime(folder / f"{name}.jsonl", (seconds, seconds))
    assert forget_before(store, date(2026, 3, 2), folder).n_quarantine_files == 1
    assert [path.name for path in folder.iterdir()] == ["new.jsonl"]


def test_what_someone_else_put_into_a_day_stays(store: LogStore) -> None:
    note = store.path / "day=2026-03-01" / "note.txt"
    note.write_text("mine")
    forget_before(store, date(2026, 3, 2))
    assert note.exists()
    assert store.days() == [date(2026, 3, 2)]


def test_a_damaged_file_is_named(store: LogStore) -> None:
    [file] = (store.path / "day=2026-03-01").iterdir()
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-.*of the log store is damaged"):
        forget_before(store, date(2026, 3, 2))
