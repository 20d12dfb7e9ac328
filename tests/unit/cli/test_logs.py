"""`beast logs` called in this process; tests/e2e calls it as a program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from beast_ml.cli.main import run
from beast_ml.logs.segments import SegmentWriter
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("BEAST_CONFIG", "BEAST_LOGS__STORE", "BEAST_LOGS__QUARANTINE"):
        monkeypatch.delenv(name, raising=False)
    rows: list[dict[str, Any]] = [routed_request(), cached_request(), routed_request(request_id="bad", quality=7)]
    return write_json_lines(tmp_path / "log.jsonl", rows)


def beast(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    before, sys.argv = sys.argv, ["beast", "logs", *map(str, arguments)]
    try:
        run()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_files_are_checked_without_being_kept(tmp_path: Path, log: Path, capsys: Captured) -> None:
    code, text, _ = beast(capsys, "check", log, log)
    assert code == 0
    assert "copies of a request" in text
    assert "quality is outside 0..1" in text
    assert "! Candidates that were never chosen: large." in text
    assert list(tmp_path.iterdir()) == [log]
    assert json.loads(beast(capsys, "check", log, log, "--json")[1])["n_duplicates"] == 2


def test_a_file_of_nothing_but_bad_rows_is_reported_on(tmp_path: Path, log: Path, capsys: Captured) -> None:
    write_json_lines(log, [routed_request(status="?")])
    code, text, _ = beast(capsys, "check", log)
    assert code == 0
    assert "! There is no request in this log." in text


def test_a_log_without_fault_is_called_so(tmp_path: Path, log: Path, capsys: Captured) -> None:
    models = ("small", "large")
    rows = [
        routed_request(
            request_id=str(i),
            chosen_model=models[i % 2],
            served_model=models[i % 2],
            quality=i % 2,
            received_at=f"2026-03-{1 + i % 20:02}T00:00:00Z",
            feedback_at="2026-04-01T00:00:00Z",
        )
        for i in range(220)
    ]
    code, text, _ = beast(capsys, "check", write_json_lines(log, rows))
    assert code == 0
    assert "Nothing looks wrong." in text
    assert "the last 14 of 20" in text
    assert "never given: " in text


def test_names_in_square_brackets_are_no_markup(tmp_path: Path, log: Path, capsys: Captured) -> None:
    row = routed_request(candidates=["[red]a[/x]"], chosen_model="[red]a[/x]", served_model="[red]a[/x]")
    odd = write_json_lines(tmp_path / "[bold]" / "log.jsonl", [row, routed_request(request_id="")])
    assert "[bold]/log.jsonl" in beast(capsys, "ingest", odd.relative_to(tmp_path))[1]
    assert "[red]a[/x]" in beast(capsys, "check")[1]
    assert "no file [/gone].jsonl: check the path" in beast(capsys, "ingest", "[/gone].jsonl")[2]


def test_the_configured_store_is_checked_with_its_quarantine(tmp_path: Path, log: Path, capsys: Captured) -> None:
    (tmp_path / "mlflow.yaml").write_text("logs: {store: kept, quarantine: refused}\n", "utf-8")
    assert beast(capsys, "ingest", log)[0] == 0
    report = json.loads(beast(capsys, "check", "--json")[1])
    assert report["quarantined"] == {"quality is outside 0..1": 1}


def test_a_compaction_shows_what_became_of_every_row(tmp_path: Path, log: Path, capsys: Captured) -> None:
    assert "segments" in beast(capsys, "compact")[1]  # before the first: nothing to do, and no error
    with SegmentWriter(tmp_path / "[bold]") as writer:
        for row in (routed_request(), routed_request(), routed_request(request_id="bad", quality=7)):
            writer.append(json.dumps({"table": "requests"} | row).encode())
    code, text, _ = beast(capsys, "compact", "--segments", "[bold]", "--store", "s", "--quarantine", "q")
    assert code == 0
    assert "[bold] into s" in text
    assert "quality is outside 0..1" in text
    assert "The rows, with reasons: q/" in text
    assert json.loads(beast(capsys, "check", "--store", "s", "--json")[1])["n_requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "gone.jsonl"], "no file gone.jsonl: check the path"),
        (["ingest", "empty.jsonl"], "empty.jsonl is empty"),
        (["ingest", "cut.parquet"], "cut.parquet cannot be read as Parquet: it is truncated or damaged"),
        (["ingest", "other.jsonl"], "cannot tell what kind of log other.jsonl is (columns llm)"),
        (["ingest", "log.jsonl", "--source", "kafka"], "source 'kafka' is unknown, must be one of auto, jsonl"),
        (["ingest", "bad.jsonl"], "none of 1 rows could be used"),
        (["check"], "holds no log: beast logs ingest FILE... fills it"),
        (["check", "log.jsonl", "--store", "s"], "check one or the other"),
        (["check", "gone.jsonl"], "no file gone.jsonl"),
        (["compact", "--segments", "gone"], "no folder gone: name the one that beast serve writes its segments to"),
    ],
)
def test_wrong_input_is_said_in_a_sentence_and_exits_with_2(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    write_json_lines(tmp_path / "other.jsonl", [{"llm": "x"}])
    write_json_lines(tmp_path / "bad.jsonl", [routed_request(request_id="")])
    code, _, error = beast(capsys, *arguments)
    assert code == 2
    assert message in " ".join(error.split())
