from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import DataError, InputError
from beast_ml.logs.ingest import CONTRADICTION, IngestSummary, ingest
from beast_ml.logs.sources import request_chunks
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines


def run(tmp_path: Path, *paths: Path, source: str = "auto") -> IngestSummary:
    return ingest(paths, LogStore(tmp_path / "store"), tmp_path / "quarantine", source)


def run_rows(tmp_path: Path, *rows: dict[str, Any]) -> IngestSummary:
    return run(tmp_path, write_json_lines(tmp_path / "log.jsonl", rows))


def quarantined(summary: IngestSummary) -> list[dict[str, Any]]:
    [file] = summary.files
    assert file.quarantine is not None
    return [json.loads(line) for line in file.quarantine.read_text("utf-8").splitlines()]


def test_good_rows_go_into_the_day_they_were_received(tmp_path: Path) -> None:
    late = routed_request(request_id="r2", received_at="2026-03-01T23:30:00-02:00", prompt="中文提示")
    summary = run_rows(tmp_path, routed_request(), cached_request(), late)
    assert (summary.n_read, summary.n_accepted, summary.n_duplicates, summary.n_quarantined) == (3, 3, 0, 0)
    assert summary.days == ("2026-03-01", "2026-03-02")
    assert summary.files[0].source == "jsonl"
    assert summary.files[0].quarantine is None
    table = LogStore(tmp_path / "store").requests(["request_id", "prompt", "context", "candidates"])
    assert table["request_id"].to_pylist() == ["routed", "cached", "r2"]
    assert table["prompt"].to_pylist()[2] == "中文提示"
    assert table["context"].to_pylist()[0] == [("task", "maths"), ("turns", "2")]
    assert table["candidates"].to_pylist()[0] == ["large", "small"]


def test_adding_a_file_again_adds_nothing(tmp_path: Path) -> None:
    rows = [routed_request(), cached_request(), routed_request(request_id="", quality=3)]
    first = run_rows(tmp_path, *rows)
    before = sorted((tmp_path / "store").rglob("*.parquet"))
    second = run_rows(tmp_path, *rows)
    assert (second.n_accepted, second.n_duplicates) == (0, 2)
    assert second.quarantined == first.quarantined == {"request_id is empty": 1}
    assert len(quarantined(second)) == 1
    assert sorted((tmp_path / "store").rglob("*.parquet")) == before


def test_a_row_that_contradicts_a_seen_one_is_quarantined_wherever_it_was_seen(tmp_path: Path) -> None:
    run_rows(tmp_path, routed_request())
    summary = run_rows(
        tmp_path,
        routed_request(prompt="something else"),
        routed_request(received_at="2026-04-01T00:00:00Z"),
        routed_request(),
        cached_request(),
        cached_request(),
        cached_request(latency_s=0.02),
    )
    assert summary.quarantined == {CONTRADICTION: 3}
    assert (summary.n_accepted, summary.n_duplicates) == (1, 2)
    assert LogStore(tmp_path / "store").requests(["prompt"])["prompt"].to_pylist() == ["2 + 2?", "2 + 2?"]


def test_copies_across_files_and_chunks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_chunks, "_CHUNK_ROWS", 2)
    rows = [routed_request(request_id=f"r{i % 5}") for i in range(10)]
    first = write_json_lines(tmp_path / "a.jsonl", rows)
    second = write_json_lines(tmp_path / "b.jsonl", [*rows[:1], routed_request(request_id="new")])
    summary = run(tmp_path, first, second)
    assert [(file.n_accepted, file.n_duplicates) for file in summary.files] == [(5, 5), (1, 1)]
    assert LogStore(tmp_path / "store").count() == 6


def test_bad_rows_are_kept_with_reason_place_and_content(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "log.jsonl", [routed_request(), routed_request(cost_usd=math.inf)])
    with path.open("ab") as file:
        file.write(b'{"request_id": "x\xff"}\n')
    summary = run(tmp_path, path)
    assert summary.n_accepted == 1
    infinite, broken = quarantined(summary)
    assert (infinite["reason"], infinite["row"], infinite["source"]) == ("cost_usd is infinite", 2, str(path))
    assert infinite["raw"]["cost_usd"] == "inf"
    assert infinite["raw"]["prompt"] == "2 + 2?"
    assert (broken["reason"], broken["raw"]) == ("line is not valid UTF-8", '{"request_id": "x\\xff"}')


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "request_id": st.sampled_from(["a", "b", "c", ""]),
                "propensity": st.sampled_from([0.5, 1.0, 0.0, None]),
                "prompt": st.sampled_from(["p", None]),
            }
        ),
        min_size=1,
        max_size=10,
    )
)
def test_every_row_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, Any]]) -> None:
    tmp_path = tmp_path_factory.mktemp("log")
    rows = [routed_request(**change) for change in changes]
    for _ in range(2):
        summary = run_rows(tmp_path, *rows)
        assert summary.n_accepted + summary.n_duplicates + summary.n_quarantined == summary.n_read == len(rows)
    assert summary.n_accepted == 0
    ids = LogStore(tmp_path / "store").requests(["request_id"])["request_id"].to_pylist()
    assert len(ids) == len(set(ids)) == len({row["request_id"] for row in rows if row["request_id"]} & set(ids))


def test_a_failure_in_the_middle_of_a_file_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_chunks, "_CHUNK_ROWS", 1)
    first = write_json_lines(tmp_path / "a.jsonl", [routed_request(request_id="a")])
    second = write_json_lines(tmp_path / "b.jsonl", [routed_request(request_id="b"), routed_request(request_id="c")])
    steps: list[int] = []

    def fail_at_the_second_file(n_bytes: int) -> None:
        steps.append(n_bytes)
        if len(steps) == 2:
            raise RuntimeError("the power failed")

    store = LogStore(tmp_path / "store")
    with pytest.raises(RuntimeError, match="the power failed"):
        ingest([first, second], store, tmp_path / "quarantine", on_progress=fail_at_the_second_file)
    assert store.requests(["request_id"])["request_id"].to_pylist() == ["a"]
    assert not list((tmp_path / "store" / ".staging").iterdir())
    assert run(tmp_path, first, second).n_accepted == 2


def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_chunks, "_CHUNK_BYTES", 1000)
    path = write_json_lines(tmp_path / "log.jsonl", [routed_request(request_id=f"r{i}") for i in range(20)])
    steps: list[int] = []
    ingest([path], LogStore(tmp_path / "store"), tmp_path / "quarantine", on_progress=steps.append)
    assert len(steps) > 5
    assert sum(steps) == path.stat().st_size


def test_our_parquet_and_a_stores_own_folder_are_read(tmp_path: Path) -> None:
    rows = [routed_request(), cached_request(), routed_request(request_id="bad", quality=1.5)]
    frame = pd.DataFrame(rows)
    frame["received_at"] = pd.to_datetime(frame["received_at"])
    frame.to_parquet(tmp_path / "log.parquet")  # writes the context as a struct, and times of any unit
    summary = run(tmp_path, tmp_path / "log.parquet")
    assert (summary.n_accepted, summary.quarantined) == (2, {"quality is outside 0..1": 1})
    assert summary.files[0].source == "parquet"
    assert quarantined(summary)[0]["raw"]["request_id"] == "bad"
    other = tmp_path / "other"
    copy = ingest([tmp_path / "store"], LogStore(other / "store"), other / "quarantine")
    assert copy.n_accepted == 2
    assert LogStore(other / "store").requests().equals(LogStore(tmp_path / "store").requests())


def test_jsonl_and_parquet_of_the_same_log_are_the_same_requests(tmp_path: Path) -> None:
    run_rows(tmp_path, routed_request(), cached_request())
    table = LogStore(tmp_path / "store").requests()
    pq.write_table(table, tmp_path / "log.parquet")
    assert run(tmp_path, tmp_path / "log.parquet").n_duplicates == 2


def test_the_summary_is_plain_values(tmp_path: Path) -> None:
    summary = run_rows(tmp_path, routed_request(), routed_request(request_id="x", status="great"))
    plain = json.loads(json.dumps(summary.to_dict()))
    assert plain["n_accepted"] == 1
    assert plain["quarantined"] == {"status is none of ok, error, timeout, rejected, cancelled": 1}
    assert plain["files"][0]["quarantine"].endswith(".jsonl")


def test_what_is_no_log_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    good = write_json_lines(tmp_path / "good.jsonl", [routed_request()])
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "blank.jsonl").write_bytes(b"\n\n")
    (tmp_path / "folder").mkdir()
    for name, message in [
        ("gone.jsonl", "no file"),
        ("empty.jsonl", "is empty"),
        ("cut.parquet", "truncated or damaged"),
        ("blank.jsonl", "has no rows"),
        ("folder", "without day=YYYY-MM-DD"),
    ]:
        with pytest.raises(DataError, match=message):
            run(tmp_path, good, tmp_path / name)
    with pytest.raises(DataError, match="no log file was given"):
        run(tmp_path)
    with pytest.raises(InputError, match="source 'kafka' is unknown, must be one of auto, jsonl"):
        run(tmp_path, good, source="kafka")
    assert not (tmp_path / "store").exists()


def test_a_parquet_without_required_columns_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"request_id": ["a"], "status": ["ok"]}).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="lacks the columns received_at, tenant_id, candidates"):
        run(tmp_path, tmp_path / "log.parquet", source="parquet")


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    run_rows(tmp_path, routed_request())
    [part] = (tmp_path / "store").glob("day=*/*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match=r"log store .* cannot be read"):
        run_rows(tmp_path, cached_request())
