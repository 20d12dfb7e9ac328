"""Files of the store, each read once, merged ones too."""

from datetime import timedelta

import msgspec
import pyarrow as pa

from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.compaction import compact
from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_files import StoreWriter
from beast_ml.logs.store_parts import current_parts
from beast_ml.serving.dashboard.log_lines import RequestLine, decode_lines
from beast_ml.serving.dashboard.request_table import RequestTable
from beast_ml.serving.dashboard.segment_tail import SegmentTail
from beast_ml.serving.dashboard.store_tail import StoreTail
from beast_ml.serving.request_log import RequestRow


def requests(start, *numbers):
    rows = [
        {
            "request_id": f"r{i}",
            "received_at": start + timedelta(seconds=i),
            "tenant_id": "acme",
            "candidates": ["small"],
            "chosen_model": "small",
            "served_model": "small",
            "status": "ok",
            "latency_s": 0.1 * i,
        }
        for i in numbers
    ]
    return pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA)


def ids(tail, since):
    return sorted(row.request_id for chunk in tail.poll(since) for row in chunk if isinstance(row, RequestLine))


def test_a_store_that_is_not_there_has_no_rows(tmp_path, start):
    assert ids(StoreTail(tmp_path / "none", 10), start) == []


def test_new_files_are_read_and_old_ones_are_not(tmp_path, start):
    store, tail = LogStore(tmp_path), StoreTail(tmp_path, 100)
    store.append_requests(requests(start, 1, 2))
    assert ids(tail, start) == ["r1", "r2"]
    store.append_requests(requests(start, 3))
    assert ids(tail, start) == ["r3"]
    assert ids(tail, start) == []


def test_merged_files_bring_only_what_is_not_known(tmp_path, start):
    store, tail = LogStore(tmp_path), StoreTail(tmp_path, 100)
    for i in range(3):
        store.append_requests(requests(start, i))
    assert len(ids(tail, start)) == 3
    day = f"day={start:%Y-%m-%d}"
    with StoreWriter(tmp_path) as writer:
        writer.merge(day, current_parts(tmp_path / day))
    assert ids(tail, start) == []
    assert len(ids(StoreTail(tmp_path, 100), start)) == 3


def test_only_the_window_and_the_newest_rows_are_read(tmp_path, start):
    LogStore(tmp_path).append_requests(requests(start, *range(10)))
    assert ids(StoreTail(tmp_path, 100), start + timedelta(seconds=7)) == ["r7", "r8", "r9"]
    assert ids(StoreTail(tmp_path, 2), start) == ["r8", "r9"]


def test_a_table_fed_from_the_store_equals_the_store(tmp_path, start):
    store, table = LogStore(tmp_path), RequestTable(100)
    store.append_requests(requests(start, 1, 2, 3))
    late = pa.table({"request_id": ["r2"], "observed_at": [start + timedelta(hours=1)], "cost_usd": [0.5]})
    store.append_outcomes(late)
    store.append_feedback(
        pa.table(
            {
                "request_id": ["r3"],
                "feedback_at": [start + timedelta(hours=1)],
                "quality": [0.25],
                "quality_source": ["user"],
            }
        )
    )
    for chunk in StoreTail(tmp_path, 100).poll(start):
        table.add(chunk)
    rows = table.rows(0.0)
    mine = {
        table.request_id(int(place)): tuple(float(rows[name][i]) for name in ("latency_s", "cost_usd", "quality"))
        for i, place in enumerate(rows.places)
    }
    theirs = {
        row["request_id"]: tuple(row[name] if row[name] is not None else float("nan") for name in list(row)[1:])
        for row in store.requests(["request_id", "latency_s", "cost_usd", "quality"]).to_pylist()
    }
    assert repr(mine) == repr(dict(sorted(theirs.items(), key=lambda item: list(mine).index(item[0]))))


def test_what_was_tailed_and_then_compacted_is_there_once(tmp_path, start):
    segments, store, table = tmp_path / "segments", LogStore(tmp_path / "logs"), RequestTable(100)
    tail, stored = SegmentTail(segments), StoreTail(store.path, 100)

    def look():
        table.add(decode_lines(tail.poll()[0])[0])
        for chunk in stored.poll(start):
            table.add(chunk)
        return table.n_seen

    def logged(name):
        row = RequestRow(
            request_id=name, received_at=start, tenant_id="a", candidates=("m",), status="rejected", error_kind="budget"
        )
        return msgspec.json.encode(row)

    with SegmentWriter(segments) as writer:
        for i in range(5):
            writer.append(logged(f"r{i}"))
        assert look() == 5
        writer.append(logged("late"))  # its segment is gone before it was looked at
    assert compact(segments, store, tmp_path / "quarantine").n_requests == 6
    assert look() == 6


def test_of_calls_the_store_tells_what_failed_first(tmp_path, start):
    store, tail = LogStore(tmp_path), StoreTail(tmp_path, 100)
    calls = [
        {"model": "large", "status": "timeout", "error_kind": "timeout", "latency_s": 1.0},
        {"model": "small", "status": "error", "error_kind": "rate_limit", "latency_s": 0.1},
        {"model": "small", "status": "ok", "error_kind": None, "latency_s": 0.1},
    ]
    for i, attempts in enumerate((calls, calls[2:], None)):
        row = requests(start, i).to_pylist()[0] | {"attempts": attempts}
        store.append_requests(pa.Table.from_pylist([row], schema=REQUEST_SCHEMA))
    rows = [row for chunk in tail.poll(start) for row in chunk]
    assert {row.request_id: row.failed_first for row in rows} == {"r0": "timeout", "r1": None, "r2": None}
