import json
from pathlib import Path

import pytest

from beast_ml.logs.segment_reader import rows_in_segments
from beast_ml.logs.segments import OPEN_SUFFIX

ROW = {"table": "requests", "request_id": "r"}


def test_torn_lines_and_other_tables_are_no_requests(tmp_path):
    lines = [json.dumps(ROW), json.dumps({"table": "feedback", "request_id": "f"}), json.dumps(ROW)[:20]]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / ".new-1-2-3").write_text(json.dumps(ROW))
    assert list(rows_in_segments(tmp_path)) == [ROW]
    assert [row["request_id"] for row in rows_in_segments(tmp_path, "feedback")] == ["f"]


@pytest.mark.parametrize(("becomes", "seen"), [("a.jsonl", [ROW]), ("elsewhere", [])])
def test_a_segment_that_is_sealed_or_compacted_meanwhile(tmp_path, monkeypatch, becomes, seen):
    is_open = tmp_path / f"a{OPEN_SUFFIX}"
    is_open.write_text(json.dumps(ROW) + "\n")
    read = Path.read_bytes

    def late(path):
        if is_open.exists():
            is_open.rename(tmp_path / becomes)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", late)
    assert list(rows_in_segments(tmp_path)) == seen
