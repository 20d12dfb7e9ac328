from __future__ import annotations

from pathlib import Path

import pytest

from beast_ml.errors import DataError
from beast_ml.logs.sources import lines
from beast_ml.logs.sources.lines import read_json_lines


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": NaN}')
    first, second = read_json_lines(path)
    assert (first.number, first.row) == (1, {"a": 1})
    assert second.number == 4
    assert second.row["a"] != second.row["a"]
    assert second.end == path.stat().st_size


def test_json_nested_beyond_reason_does_not_stop_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a":' + b"[" * 200_000 + b"\n" + b'{"a": 1}\n')
    bad, good = read_json_lines(path)
    assert bad.reason == "line is not valid JSON"
    assert good.row == {"a": 1}


def test_an_overlong_line_is_refused_and_only_its_beginning_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 2**20)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (3 * 2**20) + b'"}\n{"a": 1}\n' + b"y" * (2**21))
    long, good, last = read_json_lines(path)
    assert long.reason == last.reason == "line longer than 1 MiB"
    assert len(long.raw) == 4096
    assert (good.number, good.row) == (2, {"a": 1})
    assert last.end == path.stat().st_size


def test_an_array_is_refused_with_the_way_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}]', "utf-8")
    with pytest.raises(DataError, match="jq -c"):
        list(read_json_lines(path))
