"""Every row once: while segments are written, sealed and compacted away."""

import json
from datetime import UTC, datetime

import msgspec

from beast_ml.logs.segments import SegmentWriter
from beast_ml.serving.dashboard.log_lines import FeedbackLine, OutcomeLine, RequestLine, SignalLine, decode_lines
from beast_ml.serving.dashboard.segment_tail import SegmentTail
from beast_ml.serving.request_log import RequestRow


def read(tail):
    return [json.loads(line)["n"] for line in tail.poll()[0]]


def test_a_folder_that_is_not_there_has_no_rows(tmp_path):
    assert SegmentTail(tmp_path / "none").poll() == ([], False)


def test_rows_come_once_also_after_sealing(tmp_path):
    tail = SegmentTail(tmp_path)
    with SegmentWriter(tmp_path) as writer:
        writer.append(b'{"n":1}')
        assert read(tail) == [1]
        writer.append_many([b'{"n":2}', b'{"n":3}'])
        assert read(tail) == [2, 3]
        writer.append(b'{"n":4}')
    assert read(tail) == [4]
    assert read(tail) == []


def test_several_writers_and_segments(tmp_path):
    tail = SegmentTail(tmp_path)
    with SegmentWriter(tmp_path, max_bytes=1) as one, SegmentWriter(tmp_path) as two:
        for i in range(10):
            (one if i % 2 else two).append(b'{"n":%d}' % i)
        assert sorted(read(tail)) == list(range(10))


def test_a_line_that_is_not_whole_waits(tmp_path):
    path, tail = tmp_path / "1-2-3.open.jsonl", SegmentTail(tmp_path)
    path.write_bytes(b'{"n":1}\n{"n"')
    assert read(tail) == [1]
    with path.open("ab") as file:
        file.write(b":2}\n")
    assert read(tail) == [2]


def test_a_segment_that_a_compaction_took_away_is_no_error(tmp_path):
    tail = SegmentTail(tmp_path)
    (tmp_path / "1-2-3.jsonl").write_bytes(b'{"n":1}\n')
    assert read(tail) == [1]
    (tmp_path / "1-2-3.jsonl").unlink()
    assert read(tail) == []


def test_much_is_read_in_pieces_without_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("beast_ml.serving.dashboard.segment_tail._MOST_BYTES", 1 << 16)
    (tmp_path / "1-2-3.jsonl").write_bytes(b"".join(b'{"n":%d}\n' % i for i in range(30_000)))
    tail, found, more = SegmentTail(tmp_path), [], True
    while more:
        lines, more = tail.poll()
        found += [json.loads(line)["n"] for line in lines]
    assert found == list(range(30_000))


def test_segments_of_before_the_window_are_left_alone(tmp_path):
    (tmp_path / "1-2-3.jsonl").write_bytes(b'{"n":1}\n')
    assert SegmentTail(tmp_path, since_s=4e9).poll() == ([], False)


def test_lines_are_decoded_by_table_and_bad_ones_counted():
    at = datetime(2026, 11, 25, tzinfo=UTC)
    row = RequestRow(request_id="r", received_at=at, tenant_id="t", candidates=("m",), status="ok")
    late = b'"request_id":"r"'
    lines = [
        msgspec.json.encode(row),
        b'{"table":"outcomes",%b,"observed_at":"2026-11-25T00:00:00Z","status":"ok"}' % late,
        b'{"table":"feedback",%b,"feedback_at":"2026-11-25T00:00:00Z","quality":1.0,"quality_source":"user"}' % late,
        b'{"table":"signals",%b,"observed_at":"2026-11-25T00:00:00Z","kind":"retry","weak_quality":0.2}' % late,
        b'{"table":"requests"}',
        b"\xff",
    ]
    rows, n_bad = decode_lines(lines)
    assert [type(each) for each in rows] == [RequestLine, OutcomeLine, FeedbackLine, SignalLine]
    assert (rows[0].received_at, n_bad) == (at, 2)
