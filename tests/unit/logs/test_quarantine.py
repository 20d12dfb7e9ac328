from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from beast_ml.logs.quarantine import QuarantineFile, RejectedRow, quarantine_path


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"a": float("nan"), "b": -float("inf"), "c": 0.5}, {"a": "nan", "b": "-inf", "c": 0.5}),
        (b"caf\xe9 \xe4\xb8\xad", "caf\\xe9 中"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ({1: (True, None, [2**70])}, {"1": [True, None, [2**70]]}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
    ],
)
def test_whatever_the_raw_row_holds_is_kept_as_json(raw: Any, kept: Any) -> None:
    row = RejectedRow("logs.jsonl", 3, "why", raw)
    assert json.loads(row.to_json()) == {"source": "logs.jsonl", "row": 3, "reason": "why", "raw": kept}
    assert json.loads(row.raw_json()) == kept


def test_rows_are_written_whole_and_reasons_counted(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    with QuarantineFile(path) as file:
        file.add([RejectedRow("s", 1, "a", "两行\n"), RejectedRow("s", 2, "b", None)])
        file.add([RejectedRow("s", 3, "a", None)])
        assert not path.exists()
    assert file.reasons == {"a": 2, "b": 1}
    assert [json.loads(line)["row"] for line in path.read_text("utf-8").splitlines()] == [1, 2, 3]


def test_nothing_rejected_leaves_no_file_and_removes_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("stale", "utf-8")
    with QuarantineFile(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("before", "utf-8")
    with pytest.raises(RuntimeError, match="full"), QuarantineFile(path) as file:  # noqa: PT012 - the block is the point
        file.add([RejectedRow("s", 1, "a", None)])
        raise RuntimeError("the disk is full")
    assert [entry.read_text("utf-8") for entry in tmp_path.iterdir()] == ["before"]


def test_the_path_tells_sources_of_one_name_apart(tmp_path: Path) -> None:
    one, two = quarantine_path(tmp_path, Path("a/log.jsonl")), quarantine_path(tmp_path, Path("b/log.jsonl"))
    assert one != two
    assert one.parent == tmp_path
    assert one.name.startswith("log-")
    assert one == quarantine_path(tmp_path, Path("a/../a/log.jsonl"))
