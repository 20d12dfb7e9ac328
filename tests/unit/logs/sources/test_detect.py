from __future__ import annotations

from pathlib import Path

import pytest

from beast_ml.errors import DataError
from beast_ml.logs.sources.detect import detect_source
from beast_ml.testing.log_rows import routed_request, write_json_lines


def test_lines_that_are_no_rows_do_not_hide_the_source(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.jsonl", [routed_request()])
    path.write_bytes(b"oops\n{}\n" + path.read_bytes())
    assert detect_source(path) == "jsonl"


def test_a_log_like_none_is_refused_with_what_was_found(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.jsonl", [{"ts": 1, "llm": "x"}])
    with pytest.raises(DataError, match=r"columns ts, llm\): say --source jsonl\|parquet\|litellm\|openai"):
        detect_source(path)
    path.write_bytes(b"oops\n")
    with pytest.raises(DataError, match="first row: line is not valid JSON"):
        detect_source(path)
