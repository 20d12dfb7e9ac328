from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import DataError, InputError
from beast_ml.logs import store_files
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.logs.store_files import StoreWriter
from beast_ml.logs.store_reader import StoreReader
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def store_of(tmp_path: Path, *rows: dict[str, Any]) -> LogStore:
    store = LogStore(tmp_path / "store")
    summary = ingest([write_json_lines(tmp_path / "log.jsonl", rows)], store, tmp_path / "quarantine")
    assert summary.n_quarantined == 0
    return store


def feedback(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_an_absent_store_is_empty(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "none")
    assert (store.count(), store.days(), list(store.batches())) == (0, [], [])
    assert store.requests().num_rows == 0
    assert store.requests().column_names == REQUEST_SCHEMA.names
    assert repr(store) == f"LogStore('{tmp_path / 'none'}')"


def test_requests_come_in_order_of_time_with_the_columns_asked_for(tmp_path: Path) -> None:
    store = store_of(tmp_path, cached_request(), routed_request())
    table = store.requests(["status", "request_id"])
    assert table.column_names == ["status", "request_id"]
    assert table["request_id"].to_pylist() == ["routed", "cached"]
    assert store.days() == [date(2026, 3, 1), date(2026, 3, 2)]


def test_since_is_included_and_until_is_not(tmp_path: Path) -> None:
    rows = [routed_request(request_id=str(i), received_at=(NOON + timedelta(hours=i)).isoformat()) for i in range(30)]
    store = store_of(tmp_path, *rows)
    elsewhere = datetime.fromisoformat("2026-03-02T02:00:00+05:00")  # 9 hours after noon
    found = store.requests(["request_id"], since=NOON + timedelta(hours=3), until=elsewhere)
    assert found["request_id"].to_pylist() == [str(i) for i in range(3, 9)]
    assert store.count(since=NOON + timedelta(hours=20)) == 10
    assert sum(batch.num_rows for batch in store.batches(until=NOON + timedelta(hours=20))) == 20


def test_a_condition_is_sql(tmp_path: Path) -> None:
    store = store_of(tmp_path, routed_request(), cached_request(), routed_request(request_id="b", tenant_id="b's"))
    assert store.count(where="tenant_id = 'b''s' OR cache_result = 'semantic'") == 2
    assert store.count(where="context['task'] = 'maths' AND 'small' IN candidates") == 2
    for where in ("no_such_column = 1", "tenant_id = ", "tenant_id = ?"):
        with pytest.raises(InputError, match=r"`where` == .* is no condition"):
            store.count(where=where)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, routed_request())
    with pytest.raises(InputError, match="the log has no column 'model', only request_id"):
        store.requests(["model"])
    with pytest.raises(InputError, match="has no time zone"):
        store.requests(since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_query_of_ones_own_sees_the_joined_log(tmp_path: Path) -> None:
    store = store_of(tmp_path, routed_request(), cached_request())
    store.append_feedback(feedback(request_id=["cached"], feedback_at=[NOON], quality=[0.5]))
    assert store.sql("SELECT sum(quality) AS total FROM log")["total"].to_pylist() == [1.5]
    with pytest.raises(InputError, match="the query is wrong"):
        store.sql("SELECT nothing_of_the_kind FROM log")
    for part in store.path.glob("day=*/*.parquet"):
        part.write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(DataError, match=r"log store .* cannot be read"):
        store.sql("SELECT 1 FROM log")


def test_batches_and_requests_agree(tmp_path: Path) -> None:
    rows = [routed_request(request_id=str(i), received_at=(NOON + timedelta(hours=i)).isoformat()) for i in range(60)]
    store = store_of(tmp_path, *rows)
    assert pa.Table.from_batches(list(store.batches())).equals(store.requests().combine_chunks())


def test_characters_that_are_patterns_elsewhere_may_be_in_the_path(tmp_path: Path) -> None:
    odd = tmp_path / "it's [a] *store*?"
    odd.mkdir()
    store = store_of(odd, routed_request())
    store.append_feedback(feedback(request_id=["routed"], feedback_at=[NOON], quality=[0.5]))
    assert store.requests(["quality"])["quality"].to_pylist() == [0.5]


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    table = store_of(tmp_path, routed_request(), cached_request()).requests()
    other = LogStore(tmp_path / "other")
    with pytest.raises(RuntimeError), StoreWriter(other.path) as writer:  # noqa: PT012 - the block is the point
        writer.add(table)
        assert other.count() == 0
        raise RuntimeError
    assert [entry for entry in other.path.rglob("*") if entry.is_file()] == []
    assert other.append_requests(table) == 2
    assert other.requests().equals(table)


def test_a_killed_writer_leaves_nothing_that_is_read_and_the_next_one_sweeps_up(tmp_path: Path) -> None:
    store = store_of(tmp_path, routed_request())
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from beast_ml.logs.store import LogStore\n"
        "from beast_ml.logs.store_files import StoreWriter\n"
        "store = LogStore(Path(sys.argv[1]))\n"
        "with StoreWriter(store.path) as writer:\n"
        "    writer.add(store.requests())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(store.path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    staging = store.path / ".staging"
    assert len(list(staging.rglob("*.parquet"))) == 1
    assert store.count() == 1
    store.append_feedback(feedback(request_id=["routed"], feedback_at=[NOON], quality=[0.5]))
    assert list(staging.iterdir()) == []


def test_a_log_of_more_days_than_files_may_be_open_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_files, "_MAX_OPEN_FILES", 2)
    rows = [routed_request(request_id=str(i), received_at=(NOON + timedelta(days=i % 5)).isoformat()) for i in range(9)]
    store = store_of(tmp_path, *rows)
    assert store.count() == 9
    assert len(store.days()) == 5
    again = LogStore(tmp_path / "again")
    with StoreWriter(again.path) as writer:
        writer.add(store.requests())
        writer.add(store.requests())
    assert again.count() == 18


def test_a_table_that_breaks_the_contract_is_refused(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "store")
    with pytest.raises(DataError, match="`request_id` is missing in a request"):
        store.append_requests(pa.table({"tenant_id": ["a"]}))
    with pytest.raises(DataError, match="no routed-request log"):
        store.append_requests(store.requests().append_column("x", pa.array([], pa.int8())).set_column(
            1, "received_at", pa.array([], pa.list_(pa.int8()))))  # fmt: skip
    assert store.days() == []


def test_a_partition_that_is_no_day_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, routed_request())
    [part] = store.path.glob("day=*/*.parquet")
    part.write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(DataError, match=r"log store .* cannot be read"):
        store.requests()
    part.parent.rename(part.parent.with_name("day=today"))
    with pytest.raises(DataError, match="partition whose name is no day"):
        store.days()


class TestFeedback:
    def test_the_latest_label_wins_whatever_the_order_it_came_in(self, tmp_path: Path) -> None:
        store = store_of(tmp_path, routed_request(), cached_request())  # labelled 1.0 at 11:00
        at = [NOON + timedelta(hours=h) for h in (3, 1, -3)]
        assert store.append_feedback(feedback(request_id=["routed"], feedback_at=at[:1], quality=[0.25])) == 1
        store.append_feedback(
            feedback(
                request_id=["routed", "cached"], feedback_at=at[1:], quality=[0.5, 0.75], quality_source=["user"] * 2
            )
        )
        rows = store.requests(["request_id", "quality", "quality_source", "feedback_at"]).to_pylist()
        assert rows == [
            {"request_id": "routed", "quality": 0.25, "quality_source": None, "feedback_at": at[0]},
            {"request_id": "cached", "quality": 0.75, "quality_source": "user", "feedback_at": at[2]},
        ]

    def test_a_label_older_than_the_logged_one_does_not_count(self, tmp_path: Path) -> None:
        store = store_of(tmp_path, routed_request())
        store.append_feedback(feedback(request_id=["routed"], feedback_at=[NOON - timedelta(days=1)], quality=[0.0]))
        assert store.requests(["quality"])["quality"].to_pylist() == [1.0]

    def test_of_labels_of_one_moment_the_one_appended_last_wins(self, tmp_path: Path) -> None:
        store = store_of(tmp_path, routed_request())
        for quality in (0.1, 0.2, 0.3):
            store.append_feedback(feedback(request_id=["routed"] * 2, feedback_at=[NOON] * 2, quality=[0.0, quality]))
        assert store.requests(["quality"])["quality"].to_pylist() == [0.3]

    def test_a_label_may_come_before_its_request(self, tmp_path: Path) -> None:
        store = LogStore(tmp_path / "store")
        store.append_feedback(feedback(request_id=["routed"], feedback_at=[NOON], quality=[0.5]))
        assert store.count() == 0
        assert store_of(tmp_path, routed_request()).requests(["quality"])["quality"].to_pylist() == [0.5]

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=8), st.data())
    def test_the_split_into_appends_does_not_matter(
        self, tmp_path_factory: pytest.TempPathFactory, labels: list[tuple[int, float]], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(labels)))
        answers = []
        for i, parts in enumerate(([labels], [labels[:cut], labels[cut:]])):
            store = store_of(tmp_path_factory.mktemp(f"s{i}"), routed_request(quality=None, feedback_at=None))
            for part in parts:
                table = pa.table(
                    {
                        "request_id": pa.array(["routed"] * len(part), pa.string()),
                        "feedback_at": pa.array(
                            [NOON + timedelta(hours=h) for h, _ in part], pa.timestamp("us", "UTC")
                        ),
                        "quality": pa.array([quality for _, quality in part], pa.float64()),
                    }
                )
                store.append_feedback(table)
            answers.append(store.requests(["quality"])["quality"].to_pylist())
        latest = max(range(len(labels)), key=lambda i: (labels[i][0], i))
        assert answers[0] == answers[1] == [labels[latest][1]]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"quality": [1.5]}, r"`quality` of feedback == 1\.5 in some row, must be in 0\.\.1"),
            ({"quality": [None]}, "`quality` of feedback is missing"),
            ({"quality": ["good"]}, "`quality` of feedback must be double"),
            ({"feedback_at": [None]}, "`feedback_at` of feedback is missing"),
            ({"quality_source": ["me"]}, "must be one of judge, user, test, heuristic"),
            ({"stars": [3]}, "feedback have no column 'stars', only request_id"),
        ],
    )
    def test_a_wrong_label_is_refused_and_none_is_added(
        self, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        store = store_of(tmp_path, routed_request())
        good: dict[str, Any] = {"request_id": ["routed"], "feedback_at": [NOON], "quality": [0.5]}
        with pytest.raises(DataError, match=message):
            store.append_feedback(pd.DataFrame(good | change))
        with pytest.raises(DataError, match="`request_id` of feedback is missing"):
            store.append_feedback(pd.DataFrame({"quality": [1.0]}))
        assert store.requests(["quality"])["quality"].to_pylist() == [1.0]


class TestLateOutcomes:
    def test_what_is_known_replaces_and_what_is_not_stays(self, tmp_path: Path) -> None:
        store = store_of(tmp_path, routed_request())
        store.append_outcomes(
            pd.DataFrame(
                {
                    "request_id": ["routed", "routed"],
                    "observed_at": [NOON, NOON - timedelta(hours=1)],
                    "cost_usd": [None, 0.5],
                    "latency_s": [2.0, 1.0],
                }
            )
        )
        [row] = store.requests(["cost_usd", "latency_s", "output_tokens", "quality"]).to_pylist()
        assert row == {"cost_usd": 0.5, "latency_s": 2.0, "output_tokens": 1, "quality": 1.0}

    def test_an_answer_in_the_end_takes_the_error_away(self, tmp_path: Path) -> None:
        failed = {"status": "error", "error_kind": "overloaded", "served_model": None, "quality": None}
        store = store_of(tmp_path, routed_request(**failed))
        late = {"request_id": ["routed"], "observed_at": [NOON], "status": ["ok"], "served_model": ["large"]}
        store.append_outcomes(pd.DataFrame(late))
        [row] = store.requests(["status", "error_kind", "served_model"]).to_pylist()
        assert row == {"status": "ok", "error_kind": None, "served_model": "large"}

    def test_of_a_request_that_was_refused_there_is_nothing_to_tell(self, tmp_path: Path) -> None:
        refused = cached_request(request_id="refused", status="rejected", cache_result=None, error_kind="budget")
        store = store_of(tmp_path, refused, routed_request(quality=None, quality_source=None, feedback_at=None))
        before = store.requests(where="request_id = 'refused'").to_pylist()
        ids = ["refused", "routed"]
        told = {"status": ["ok"] * 2, "served_model": ["large"] * 2, "cost_usd": [3.0] * 2}
        store.append_outcomes(pd.DataFrame({"request_id": ids, "observed_at": [NOON] * 2, **told}))
        store.append_feedback(feedback(request_id=ids, feedback_at=[NOON] * 2, quality=[0.5] * 2))
        assert store.requests(where="request_id = 'refused'").to_pylist() == before
        [row] = store.requests(["cost_usd", "quality"], where="request_id = 'routed'").to_pylist()
        assert row == {"cost_usd": 3.0, "quality": 0.5}

    def test_wrong_values_are_refused(self, tmp_path: Path) -> None:
        store = LogStore(tmp_path / "store")
        late = {"request_id": ["routed"], "observed_at": [NOON]}
        for change, message in [
            ({"cost_usd": [-1.0]}, r"must be a finite number >= 0"),
            ({"latency_s": [float("inf")]}, r"must be a finite number >= 0"),
            ({"status": ["fine"]}, "must be one of ok, error"),
        ]:
            with pytest.raises(DataError, match=message):
                store.append_outcomes(pd.DataFrame(late | change))
        assert store.append_outcomes(pd.DataFrame(late).head(0).astype({"observed_at": "datetime64[us, UTC]"})) == 0


def test_answered_requests_become_an_outcome_table(tmp_path: Path) -> None:
    store = store_of(
        tmp_path,
        routed_request(),
        routed_request(request_id="fallback", served_model="large", app="editor"),
        routed_request(request_id="failed", status="error", served_model=None),
        routed_request(request_id="secret", prompt=None),
        cached_request(),
    )
    frame = store.to_outcomes()
    assert frame["query_id"].tolist() == ["fallback", "routed"]
    assert frame["app"].fillna("").tolist() == ["editor", ""]
    assert frame["model"].tolist() == ["large", "small"]
    assert frame["task"].tolist() == ["maths", "maths"]
    assert frame["propensity"].isna().tolist() == [True, False]
    assert frame["cost_usd"].dtype == float
    assert store.to_outcomes(where="request_id = 'routed'")["quality"].tolist() == [1.0]


def test_reading_the_store_needs_no_pandas() -> None:
    code = "import sys, beast_ml.logs.store; sys.exit('pandas' in sys.modules or 'pandera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_batches_go_on_where_files_went_away_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("beast_ml.logs.store_reader._BATCH_ROWS", 2_048)
    n = 5_000
    many = store_of(tmp_path, routed_request()).requests().take([0] * n)
    store = LogStore(tmp_path / "many")
    store.append_requests(many.set_column(0, "request_id", pa.array([f"r{i:05d}" for i in range(n)])))
    wanted = store.requests(["request_id"])["request_id"].to_pylist()
    asked, selected = [], StoreReader._selected

    class Breaks:
        def __init__(self, relation):
            self.relation = relation

        def to_arrow_reader(self, n_rows):
            for i, batch in enumerate(self.relation.to_arrow_reader(n_rows)):
                if i == 1:
                    monkeypatch.setattr(StoreReader, "_files", lambda _: set())  # as if a compaction took them away
                    raise duckdb.IOException("no such file")
                yield batch

    def once(self, *arguments, **options):
        asked.append(options)
        relation = selected(self, *arguments, **options)
        return Breaks(relation) if len(asked) == 1 else relation

    monkeypatch.setattr(StoreReader, "_selected", once)
    batches = list(store.batches(["request_id"]))
    assert [name for batch in batches for name in batch["request_id"].to_pylist()] == wanted
    assert (len(asked), len(batches)) == (2, 3)
