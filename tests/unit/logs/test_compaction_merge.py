from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.logs import compaction_merge
from beast_ml.logs.compaction_merge import merge_files
from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_parts import current_parts, superseded_parts
from beast_ml.testing.log_rows import routed_request, write_json_lines

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "store")


@pytest.fixture(autouse=True)
def by_threes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_merge, "_RUN", 3)


def add_signal(store: LogStore, i: int) -> None:
    row = {"request_id": [str(i)], "observed_at": [NOON + timedelta(hours=i)], "kind": ["retry"]}
    store.append_signals(pd.DataFrame(row))


def names(store: LogStore, folder: str = "signals") -> list[str]:
    return [file.name.rsplit("-", 1)[0] for file in sorted((store.path / folder).glob("part-*.parquet"))]


def test_files_are_merged_twice_and_never_again(store: LogStore) -> None:
    for i in range(9):
        add_signal(store, i)
        merge_files(store.path)
    assert names(store) == ["part-000000..000008"]
    for i in range(9, 9 + 9 * 2 + 2):
        add_signal(store, i)
        merge_files(store.path)
    assert names(store) == [
        "part-000000..000008",
        "part-000009..000017",
        "part-000018..000026",
        "part-000027",
        "part-000028",
    ]
    assert store.signals()["request_id"].to_pylist() == [str(i) for i in range(29)]


def test_requests_and_the_latest_of_late_rows_read_as_before(store: LogStore, tmp_path: Path) -> None:
    for i in range(4):
        rows = [routed_request(request_id=f"{i}-{j}") for j in range(3)]
        ingest([write_json_lines(tmp_path / "log.jsonl", rows)], store, tmp_path / "quarantine")
        for kind in ("quality", "cost_usd"):
            at = "feedback_at" if kind == "quality" else "observed_at"
            frame = pd.DataFrame({"request_id": ["0-0"], at: [NOON], kind: [i / 4]})
            (store.append_feedback if kind == "quality" else store.append_outcomes)(frame)
    before = store.requests()
    assert merge_files(store.path) == 9
    assert store.requests().equals(before)
    assert store.requests(["quality", "cost_usd"], where="request_id = '0-0'").to_pylist() == [
        {"quality": 0.75, "cost_usd": 0.75}
    ]
    assert names(store, "day=2026-03-01") == ["part-000000..000002", "part-000003"]
    again = ingest([tmp_path / "log.jsonl"], store, tmp_path / "quarantine")
    assert (again.n_accepted, again.n_duplicates) == (0, 3)


def test_files_that_gave_way_are_not_read_while_they_lie_there(store: LogStore, tmp_path: Path) -> None:
    for i in range(3):
        add_signal(store, i)
    kept = tmp_path / "kept"
    shutil.copytree(store.path / "signals", kept)
    merge_files(store.path)
    for file in kept.iterdir():  # as after a kill before they were deleted
        shutil.copy(file, store.path / "signals")
    assert len(superseded_parts(store.path / "signals")) == 3
    assert store.signals().num_rows == 3
    add_signal(store, 3)
    assert merge_files(store.path) == 3
    assert names(store) == ["part-000000..000002", "part-000003"]


def test_files_that_others_named_and_great_ones_stay_as_they_are(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        add_signal(store, i)
    monkeypatch.setattr(compaction_merge, "_MAX_BYTES", 0)
    assert merge_files(store.path) == 0
    monkeypatch.undo()
    for i, file in enumerate(current_parts(store.path / "signals")):
        file.rename(file.with_name(f"part-{i}.parquet"))
    assert merge_files(store.path) == 0


def test_a_damaged_file_is_named_and_nothing_is_lost(store: LogStore) -> None:
    for i in range(3):
        add_signal(store, i)
    [first, *_] = current_parts(store.path / "signals")
    content = first.read_bytes()
    first.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="signals of the log store holds a damaged file"):
        merge_files(store.path)
    first.write_bytes(content)
    assert merge_files(store.path) == 3
    assert store.signals().num_rows == 3


def test_who_reads_while_files_are_merged_sees_every_row_once(store: LogStore) -> None:
    add_signal(store, 0)
    is_over = threading.Event()

    def write() -> None:
        try:
            for i in range(1, 40):
                add_signal(store, i)
                merge_files(store.path)
        finally:
            is_over.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not is_over.is_set():
            found = store.signals()["request_id"].to_pylist()
            assert found == [str(i) for i in range(len(found))]
    finally:
        writer.join()
    assert store.signals().num_rows == 40
