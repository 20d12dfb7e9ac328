from __future__ import annotations

import fcntl
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beast_ml.errors import DataError, UnavailableError
from beast_ml.logs import compaction, compaction_rows
from beast_ml.logs.compaction import CompactionSummary, compact
from beast_ml.logs.late_tables import LATE_SCHEMAS
from beast_ml.logs.schema import REQUEST_COLUMNS
from beast_ml.logs.segments import SegmentWriter, sealed_segments
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request

AT = "2026-03-01T12:00:00Z"


def request(**changes: Any) -> dict[str, Any]:
    return {"table": "requests"} | routed_request(**changes)


def outcome(**changes: Any) -> dict[str, Any]:
    return {"table": "outcomes", "request_id": "routed", "observed_at": AT, "status": "ok", "latency_s": 2.0} | changes


def feedback(**changes: Any) -> dict[str, Any]:
    row = {"table": "feedback", "request_id": "routed", "feedback_at": AT, "quality": 0.5, "quality_source": "user"}
    return row | changes


def signal(**changes: Any) -> dict[str, Any]:
    row = {"table": "signals", "request_id": "routed", "observed_at": AT, "kind": "retry", "weak_quality": 0.2}
    return row | changes


class Place:
    """Segments, a store and a quarantine."""

    def __init__(self, folder: Path) -> None:
        self.segments, self.quarantine = folder / "segments", folder / "quarantine"
        self.store = LogStore(folder / "store")

    def log(self, *rows: dict[str, Any]) -> None:
        """Write one sealed segment."""
        with SegmentWriter(self.segments) as writer:
            writer.append_many([json.dumps(row).encode() for row in rows])

    def compact(self) -> CompactionSummary:
        return compact(self.segments, self.store, self.quarantine)

    def rejected(self) -> list[dict[str, Any]]:
        # By the byte: a row may hold characters at which `str.splitlines` cuts, too.
        lines = [line for path in sorted(self.quarantine.glob("*.jsonl")) for line in path.read_bytes().split(b"\n")]
        return [json.loads(line) for line in lines if line]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ids(store: LogStore) -> list[str]:
    return sorted(store.requests(["request_id"])["request_id"].to_pylist())


def test_rows_of_every_table_land_in_theirs_and_the_segment_is_gone(place: Place) -> None:
    place.log(request(), signal(), {"table": "requests"} | cached_request(), outcome(), feedback())
    summary = place.compact()
    assert (summary.n_segments, summary.n_read, summary.n_duplicates, summary.n_quarantined) == (1, 5, 0, 0)
    assert (summary.n_requests, summary.n_outcomes, summary.n_feedback, summary.n_signals) == (2, 1, 1, 1)
    assert summary.days == ("2026-03-01", "2026-03-02")
    [row] = place.store.requests(where="request_id = 'routed'").to_pylist()
    assert (row["latency_s"], row["quality"], row["quality_source"]) == (2.0, 0.5, "user")
    assert row["context"] == [("task", "maths"), ("turns", "2")]
    assert sealed_segments(place.segments) == []
    assert place.store.signals().to_pylist() == [
        {
            "request_id": "routed",
            "observed_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "kind": "retry",
            "weak_quality": 0.2,
        }
    ]


def test_nothing_to_compact_is_nothing_done(place: Place) -> None:
    assert place.compact() == CompactionSummary(0, 0, 0, 0, 0, 0, 0, 0, {}, (), (), 0)
    assert not place.store.path.exists()
    place.segments.mkdir()
    assert place.compact().n_read == 0


def test_the_first_of_an_id_is_the_request_however_it_comes_again(place: Place) -> None:
    place.log(request(), request(), request(prompt="another"))
    place.log(request(prompt="a third"))
    first = place.compact()
    assert (first.n_requests, first.n_duplicates, first.n_quarantined) == (1, 3, 0)
    place.log(request(prompt="a fourth"), request(received_at="2026-03-02T00:01:00Z"), request(request_id="new"))
    again = place.compact()
    assert (again.n_requests, again.n_duplicates, again.n_quarantined) == (1, 2, 0)
    assert ids(place.store) == ["new", "routed"]
    assert place.store.requests(["prompt"], where="request_id = 'routed'")["prompt"].to_pylist() == ["2 + 2?"]


def test_late_rows_come_once_word_for_word(place: Place) -> None:
    rows = [outcome(), feedback(), signal()]
    place.log(request(), *rows, *rows)
    assert place.compact().n_duplicates == 3
    place.log(*rows, outcome(latency_s=None, status="error"), feedback(quality=0.25), signal(kind="abandonment"))
    again = place.compact()
    assert (again.n_duplicates, again.n_outcomes, again.n_feedback, again.n_signals) == (3, 1, 1, 1)
    assert place.store.signals()["kind"].to_pylist() == ["abandonment", "retry"]


def test_late_rows_may_come_before_their_request_and_out_of_order(place: Place) -> None:
    place.log(
        feedback(feedback_at="2026-03-03T00:00:00Z", quality=0.75),
        feedback(feedback_at="2026-03-02T00:00:00Z", quality=0.25),
        outcome(observed_at="2026-03-01T13:00:00Z", cost_usd=3.0),
        outcome(observed_at="2026-03-01T12:30:00Z", cost_usd=2.0, output_tokens=7),
    )
    place.compact()
    place.log(request(quality=None, quality_source=None, feedback_at=None))
    place.compact()
    [row] = place.store.requests().to_pylist()
    assert (row["quality"], row["cost_usd"], row["output_tokens"]) == (0.75, 3.0, 7)


@pytest.mark.parametrize(
    ("told", "status", "error_kind"),
    [
        ({"status": "ok", "served_model": "small"}, "ok", None),
        ({"status": "timeout", "error_kind": "timeout"}, "timeout", "timeout"),
        ({"status": "cancelled", "latency_s": None}, "cancelled", None),
        ({"status": None, "latency_s": 1.0}, "cancelled", "unreported"),
    ],
)
def test_an_outcome_takes_the_place_of_one_that_nobody_told(
    place: Place, told: dict[str, Any], status: str, error_kind: str | None
) -> None:
    place.log(request(status="cancelled", error_kind="unreported", served_model=None, attempts=[]), outcome(**told))
    place.compact()
    [row] = place.store.requests().to_pylist()
    assert (row["status"], row["error_kind"]) == (status, error_kind)


def test_an_answer_of_which_nobody_says_who_gave_it_is_the_chosen_models(place: Place) -> None:
    untold = {"status": "cancelled", "error_kind": "unreported", "served_model": None, "attempts": []}
    unlabelled = {"quality": None, "quality_source": None, "feedback_at": None}
    place.log(
        *(request(request_id=name, **untold, **unlabelled) for name in ("answered", "judged", "failed", "untold")),
        outcome(request_id="answered", served_model=None, status="ok"),
        outcome(request_id="failed", served_model=None, status="error", error_kind="provider"),
        feedback(request_id="judged", quality=1.0),
    )
    place.compact()
    rows = {row["request_id"]: (row["status"], row["served_model"]) for row in place.store.requests().to_pylist()}
    chosen = request()["chosen_model"]
    assert rows["answered"] == rows["judged"] == ("ok", chosen)
    assert rows["failed"] == ("error", None)
    assert rows["untold"] == ("cancelled", None)
    learnt = place.store.logged_outcomes()
    assert learnt.failed.tolist() == [False, True, False, False]  # answered, failed, judged, untold


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (request(propensity=None), "propensity is missing, yet a model was chosen"),
        (request(status="fine"), "status is none of ok"),
        (request(received_at="yesterday"), "received_at is not a time"),
        (outcome(status="fine"), "status is not one of ok"),
        (outcome(observed_at=None), "observed_at is missing"),
        (outcome(latency_s=-1), "latency_s is not a finite number >= 0"),
        (outcome(cost_usd="dear"), "cost_usd is not a number"),
        (outcome(output_tokens=1.5), "output_tokens is not a whole number"),
        (feedback(quality=1.01), "quality is not in 0..1"),
        (feedback(quality=None), "quality is missing"),
        (feedback(request_id=" "), "request_id is empty"),
        (feedback(request_id="x" * 513), "request_id is longer than 512 characters"),
        (signal(kind="applause"), "kind is not one of retry, regeneration, abandonment"),
        (signal(weak_quality=2), "weak_quality is not in 0..1"),
        ({"table": "secrets", "request_id": "a"}, "table is none of requests, outcomes, feedback, signals"),
        ({"request_id": "a"}, "table is none of requests"),
        ({"table": ["requests"]}, "table is none of requests"),
    ],
)
def test_a_bad_row_is_kept_apart_with_its_reason_and_stops_nothing(
    place: Place, row: dict[str, Any], reason: str
) -> None:
    place.log(request(), row, request(request_id="next"))
    summary = place.compact()
    assert ids(place.store) == ["next", "routed"]
    assert (summary.n_read, summary.n_quarantined) == (3, 1)
    [rejected] = place.rejected()
    assert rejected["reason"].startswith(reason)
    assert (rejected["row"], rejected["raw"]) == (2, row)
    assert summary.to_dict()["quarantined"] == {rejected["reason"]: 1}
    assert sealed_segments(place.segments) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"table":"requests","request_id":"cut', "row was cut off"),
        (b"[1, 2]\n", "line is not a JSON object"),
        (b"\x00\x00\x00\x00\n", "line is not valid JSON"),
        (b'{"table":"requests","prompt":"\xff"}\n', "line is not valid UTF-8"),
    ],
)
def test_a_damaged_line_is_kept_apart(place: Place, line: bytes, reason: str) -> None:
    place.segments.mkdir()
    (place.segments / "1.jsonl").write_bytes(line)
    (place.segments / "2.jsonl").write_bytes(json.dumps(request()).encode() + b"\n" + line)
    summary = place.compact()
    assert (summary.n_read, summary.n_requests, summary.n_quarantined) == (3, 1, 2)
    assert [row["reason"].startswith(reason) for row in place.rejected()] == [True, True]
    assert place.compact().n_read == 0


def test_a_whole_row_without_its_line_break_is_a_row(place: Place) -> None:
    place.segments.mkdir()
    (place.segments / "1.jsonl").write_text(json.dumps(request()))
    assert place.compact().n_requests == 1


def test_secrets_do_not_enter_the_quarantine(place: Place) -> None:
    place.log(outcome(status="fine", api_key="abc"))
    place.compact()
    assert place.rejected()[0]["raw"]["api_key"] == "[removed]"


def test_segments_that_are_being_written_are_left_alone(place: Place) -> None:
    with SegmentWriter(place.segments) as writer:
        writer.append(json.dumps(request()).encode())
        summary = place.compact()
        assert (summary.n_open, summary.n_read) == (1, 0)
        writer.append(json.dumps(request(request_id="next")).encode())
    assert place.compact().n_requests == 2


def test_chunks_and_batches_of_any_size_give_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction_rows, "_CHUNK_ROWS", 3)
    monkeypatch.setattr(compaction, "_BATCH_BYTES", 3000)
    sizes: list[int] = []
    for i in range(4):
        place.log(
            *(request(request_id=f"{i}-{j}") for j in range(10)), request(request_id="same"), outcome(), outcome()
        )
    size = sum(path.stat().st_size for path in sealed_segments(place.segments))
    summary = compact(place.segments, place.store, place.quarantine, sizes.append)
    assert (summary.n_segments, summary.n_read, summary.n_requests, summary.n_duplicates) == (4, 52, 41, 10)
    assert (sum(sizes), len(sizes) > 12) == (size, True)


def test_one_compaction_works_at_a_time(place: Place) -> None:
    place.log(request())
    fd = os.open(place.segments / ".compaction.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(UnavailableError, match=r"segments is being added to by another process: wait"):
        place.compact()
    os.close(fd)
    assert place.compact().n_requests == 1


def test_a_damaged_store_is_said_and_loses_nothing(place: Place) -> None:
    place.log(request())
    place.compact()
    [file] = place.store.path.glob("day=*/part-*.parquet")
    kept = file.read_bytes()
    file.write_bytes(b"PAR1")
    place.log(request(request_id="next"))
    with pytest.raises(DataError, match="cannot be read, so that nothing can be added"):
        place.compact()
    file.write_bytes(kept)
    assert place.compact().n_requests == 1
    assert ids(place.store) == ["next", "routed"]


def test_segments_that_were_taken_but_not_deleted_add_nothing(place: Place) -> None:
    place.log(request(), outcome(), feedback(), signal(), request(request_id="bad", quality=7))
    [segment] = sealed_segments(place.segments)
    content = segment.read_bytes()
    place.compact()
    segment.write_bytes(content)  # as after a kill between the two
    summary = place.compact()
    assert (summary.n_read, summary.n_duplicates, summary.n_quarantined, summary.days) == (5, 4, 1, ())
    assert len(list(place.store.path.rglob("part-*.parquet"))) == 4
    assert len(place.rejected()) == 1


def test_a_disk_that_refuses_is_said_and_loses_nothing(place: Place) -> None:
    place.log(request())
    place.store.path.write_text("a file where a folder must be")
    with pytest.raises(UnavailableError, match=r"cannot be written .*then compact again; no row is lost"):
        place.compact()
    place.store.path.unlink()
    assert place.compact().n_requests == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.datetimes().map(datetime.isoformat)
    | st.sampled_from([AT, "ok", "", "retry", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
COLUMNS = sorted({"table", *REQUEST_COLUMNS, *(name for table in LATE_SCHEMAS.values() for name in table.names)})
ROW = st.builds(
    lambda row, changes: row | changes,
    st.sampled_from([request(), outcome(), feedback(), signal(), {}]),
    st.dictionaries(st.sampled_from(COLUMNS), JSON, max_size=3),
)


@settings(max_examples=50, deadline=None)
@example(rows=[request(received_at="0001-01-01T00:00:00Z"), outcome(observed_at="0001-01-01T00:00:00Z")], damage=[])
@example(rows=[request(received_at="9999-12-31T23:59:59Z"), outcome(observed_at="9999-12-31T23:59:59Z")], damage=[])
@given(
    rows=st.lists(ROW, max_size=5), damage=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=3)
)
def test_nothing_that_may_stand_in_a_segment_stops_a_compaction(
    rows: list[dict[str, Any]], damage: list[tuple[int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.log(request(request_id="before"))
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        for at, instead in damage:
            content = content[:at] + instead + content[at + 1 :]
        (place.segments / "zzz.jsonl").write_bytes(content)
        summary = place.compact()
        late = summary.n_outcomes + summary.n_feedback + summary.n_signals
        assert summary.n_requests + late + summary.n_duplicates + summary.n_quarantined == summary.n_read
        assert summary.n_quarantined == len(place.rejected())
        assert "before" in ids(place.store)
        assert sealed_segments(place.segments) == []
