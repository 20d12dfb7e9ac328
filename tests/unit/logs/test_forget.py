from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from beast_ml.errors import DataError, UnavailableError
from beast_ml.logs.compaction import compact
from beast_ml.logs.forget import ForgetSummary, LogFolders, forget
from beast_ml.logs.forgotten import Named, read_forgotten, remember_forgotten
from beast_ml.logs.ingest import ingest
from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request, write_json_lines

LATER = datetime(2026, 4, 1, tzinfo=UTC)
SECRET = "the secret of acme"


@pytest.fixture
def folders(tmp_path: Path) -> LogFolders:
    """Return a log of two tenants: two days in the store, sealed segments, quarantined rows."""
    made = LogFolders(tmp_path / "store", tmp_path / "segments", tmp_path / "quarantine")
    rows = [
        routed_request(request_id="a1", user_id="ann", prompt=f"{SECRET} 1"),
        routed_request(request_id="a2", user_id="bob", prompt=f"{SECRET} 2", received_at="2026-03-02T10:00:00Z"),
        routed_request(request_id="o1", tenant_id="other", prompt="other's words"),
        routed_request(request_id="bad", prompt=f"{SECRET} 3", received_at="no time"),
        routed_request(request_id="", tenant_id="other", prompt="other's refused words"),
    ]
    ingest([write_json_lines(tmp_path / "log.jsonl", rows)], LogStore(made.store), made.quarantine)
    (tmp_path / "log.jsonl").unlink()
    at = [datetime(2026, 3, 3, tzinfo=UTC)] * 2
    LogStore(made.store).append_outcomes(pd.DataFrame({"request_id": ["a1", "o1"], "observed_at": at}))
    with SegmentWriter(made.segments) as writer:
        for row in (
            routed_request(request_id="a3", user_id="ann", prompt=f"{SECRET} 4", context={"prompt_hash": "abc"}),
            routed_request(request_id="o2", tenant_id="other", prompt="other's later words"),
        ):
            writer.append(json.dumps({"table": "requests"} | row).encode())
        for name in ("a3", "o2"):
            known = {"table": "outcomes", "request_id": name, "observed_at": "2026-03-03T00:00:00Z", "status": "ok"}
            writer.append(json.dumps(known).encode())
    return made


def everything(folder: Path) -> bytes:
    return b"".join(
        file.read_bytes() if file.suffix != ".parquet" else str(pq.read_table(file).to_pylist()).encode()
        for file in folder.rglob("*")
        if file.is_file()
    )


def of_others(folders: LogFolders) -> tuple[object, ...]:
    stored = LogStore(folders.store).requests(where="tenant_id = 'other'").to_pylist()
    lines = [line for file in folders.segments.glob("*.jsonl") for line in file.read_bytes().splitlines()]
    kept = [line for line in lines if b'"o2"' in line]
    rejected = [line for file in folders.quarantine.glob("*") for line in file.read_bytes().splitlines()]
    return stored, kept, [line for line in rejected if b"other's" in line]


def named(**changes: object) -> Named:
    return Named(**({"tenant": "acme", "user": None, "before": LATER, "prompts_only": False} | changes))  # type: ignore[arg-type]


def test_a_tenant_goes_with_all_that_is_known_of_its_requests(folders: LogFolders, tmp_path: Path) -> None:
    others = of_others(folders)
    dry = forget(folders, named(), dry_run=True)
    assert SECRET.encode() in everything(tmp_path)
    done = forget(folders, named())
    assert done == dry == ForgetSummary(n_stored=2, n_in_segments=1, n_late=2, n_quarantined=1)
    left = everything(tmp_path)
    assert SECRET.encode() not in left
    assert b"acme" not in left
    assert b"'a1'" not in left
    assert b'"a3"' not in left
    assert of_others(folders) == others
    assert forget(folders, named()) == ForgetSummary(0, 0, 0, 0)
    assert compact(folders.segments, LogStore(folders.store), folders.quarantine).n_requests == 1


def test_raw_bytes_of_no_file_hold_the_text(folders: LogFolders, tmp_path: Path) -> None:
    forget(folders, named())
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_texts_alone_may_go(folders: LogFolders, tmp_path: Path) -> None:
    before = LogStore(folders.store).requests().drop_columns(["prompt"])
    done = forget(folders, named(prompts_only=True))
    assert done == ForgetSummary(n_stored=2, n_in_segments=1, n_late=0, n_quarantined=1)
    assert LogStore(folders.store).requests().drop_columns(["prompt"]).equals(before)
    left = everything(tmp_path)
    assert SECRET.encode() not in left
    assert b"prompt_hash" not in left
    assert forget(folders, named(prompts_only=True)) == ForgetSummary(0, 0, 0, 0)
    assert forget(folders, named()).n_stored == 2


def test_a_user_goes_alone_and_a_time_bounds_it(folders: LogFolders) -> None:
    assert forget(folders, named(user="ann", before=datetime(2026, 3, 1, tzinfo=UTC))).n_stored == 0
    assert forget(folders, named(user="ann")).n_stored == 1
    assert LogStore(folders.store).requests(["request_id"])["request_id"].to_pylist() == ["o1", "a2"]


def test_a_line_that_cannot_be_read_goes_where_it_names_the_tenant(folders: LogFolders) -> None:
    segment = next(folders.segments.glob("*.jsonl"))
    with segment.open("ab") as file:
        file.write(b'{"table":"requests","tenant_id":"acme","prompt":"' + SECRET.encode())
    assert forget(folders, named()).n_in_segments == 2
    assert SECRET.encode() not in segment.read_bytes()


def test_it_waits_for_a_segment_that_is_being_written(folders: LogFolders) -> None:
    writer = SegmentWriter(folders.segments)
    row = {"table": "requests"} | routed_request(request_id="open", prompt=f"{SECRET} 5")
    writer.append(json.dumps(row).encode())
    assert forget(folders, named(), dry_run=True).n_in_segments == 2
    waited: list[int] = []
    with pytest.raises(UnavailableError, match="still being written"):
        forget(folders, named(), patience_s=0.1, on_wait=waited.append)
    assert LogStore(folders.store).count() == 3
    threading.Timer(0.3, writer.close).start()
    assert forget(folders, named(), on_wait=waited.append).n_in_segments == 2
    assert waited == [1, 1]


def test_a_store_forgets_again_and_again_and_after_it_was_merged(tmp_path: Path) -> None:
    store, folders = LogStore(tmp_path / "s"), LogFolders(tmp_path / "s", tmp_path / "none", tmp_path / "none")
    for i in range(18):
        rows = [routed_request(request_id=f"{user}{i}", user_id=user) for user in ("ann", "bob", "eve")]
        ingest([write_json_lines(tmp_path / f"{i}.jsonl", rows)], store, tmp_path / "q")
    assert forget(folders, named(user="ann")).n_stored == 18
    (tmp_path / "segments").mkdir()
    assert compact(tmp_path / "segments", store, tmp_path / "q").n_merged_files == 16
    assert store.count() == 36
    assert forget(folders, named(user="bob")).n_stored == 18
    assert set(store.requests(["user_id"])["user_id"].to_pylist()) == {"eve"}
    assert forget(folders, named(user="eve")).n_stored == 18
    assert store.days() == []


_KILLED = textwrap.dedent("""
    import os, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from beast_ml.logs.forget import LogFolders, forget
    from beast_ml.logs.forgotten import Named

    calls = int(sys.argv[2])
    def die(event, args):
        global calls
        if event in ("os.rename", "os.remove"):
            calls -= 1
            if calls < 0:
                os.kill(os.getpid(), 9)
    root = Path(sys.argv[1])
    sys.addaudithook(die)
    forget(LogFolders(root / "store", root / "segments", root / "quarantine"),
           Named("acme", None, datetime(2026, 4, 1, tzinfo=UTC), False))
""")


def test_killed_at_any_step_it_loses_nothing_and_the_next_call_ends_it(folders: LogFolders, tmp_path: Path) -> None:
    others = of_others(folders)
    n_kills = 0
    for step in (0, 1, 2, 4):  # each call goes further than the one before, from where that was killed
        child = [sys.executable, "-c", _KILLED, str(tmp_path), str(step)]
        n_kills += subprocess.run(child, check=False).returncode == -signal.SIGKILL
        assert of_others(folders) == others
    assert n_kills >= 3
    forget(folders, named())
    assert of_others(folders) == others
    assert SECRET.encode() not in everything(tmp_path)
    assert b"'a1'" not in everything(tmp_path)


def test_readers_beside_it_see_every_row_of_others(folders: LogFolders) -> None:
    store, stop, seen = LogStore(folders.store), threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(store.count(where="tenant_id = 'other'"))

    reader = threading.Thread(target=read)
    reader.start()
    for user in ("ann", "bob", None):
        forget(folders, named(user=user))
    time.sleep(0.05)
    stop.set()
    reader.join()
    assert seen == {1}


def test_the_list_names_nobody_and_knows_them(tmp_path: Path) -> None:
    file = tmp_path / "forgotten.jsonl"
    remember_forgotten(file, named(user="ann").hashed())
    remember_forgotten(file, named(prompts_only=True).hashed())
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"acme" not in file.read_bytes()
    one, all_users = read_forgotten([file, file, tmp_path / "none"])
    assert one.is_tenant("acme")
    assert not one.is_tenant("other")
    assert one.is_user("ann")
    assert not one.is_user(None)
    assert all_users.is_user(None)
    assert all_users.prompts_only
    assert one.before == LATER
    file.write_bytes(file.read_bytes()[:-20] + os.linesep.encode())
    with pytest.raises(DataError, match="line 2"):
        read_forgotten([file])


def test_hashes_find_the_same_rows_as_names(folders: LogFolders, tmp_path: Path) -> None:
    assert forget(folders, named().hashed()) == ForgetSummary(2, 1, 2, 1)
    assert SECRET.encode() not in everything(tmp_path)
