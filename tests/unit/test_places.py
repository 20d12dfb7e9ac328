import json
import pickle
import uuid
from pathlib import Path

import pytest

from beast_ml.errors import DataError, InputError, MissingExtraError
from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.places import fetched, is_remote, place
from beast_ml.settings import load_settings
from beast_ml.testing.costly_logs import costly_log
from beast_ml.testing.log_rows import routed_request, write_json_lines


@pytest.fixture
def local(tmp_path: Path) -> LogStore:
    store = costly_log(tmp_path / "log", days=3, per_day=20)
    asked = store.requests(["request_id", "received_at"]).slice(0, 10)
    late = asked.rename_columns(["request_id", "observed_at"]).append_column("cost_usd", [[0.5] * 10])
    store.append_outcomes(late)
    return store


@pytest.fixture
def remote(local: LogStore) -> LogStore:
    """The same files at an address of fsspec's own file system, which lives as long as the process."""
    address = place(f"memory://{uuid.uuid4().hex}/logs")
    for file in local.path.rglob("*.parquet"):
        target = address / str(file.relative_to(local.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return LogStore(address)


def test_a_path_stays_a_path():
    assert place("data/logs") == Path("data/logs")
    assert place(Path("data/logs")) == Path("data/logs")
    assert not is_remote(place("data/logs"))
    assert is_remote(place("memory://a/logs"))


def test_a_store_at_an_address_reads_as_the_local_one(local, remote):
    assert remote.days() == local.days()
    assert remote.requests().equals(local.requests())
    assert [table.num_rows for table in remote.batches()] == [table.num_rows for table in local.batches()]
    assert remote.sql("SELECT sum(cost_usd) AS usd FROM log").equals(local.sql("SELECT sum(cost_usd) AS usd FROM log"))
    assert pickle.loads(pickle.dumps(remote)).count() == local.count()  # noqa: S301 - our own


def test_files_are_fetched_whole_and_removed(local, remote):
    there = min(remote.path.glob("day=*/*.parquet"), key=str)
    here = min(local.path.glob("day=*/*.parquet"))
    with fetched([there, here]) as files:
        assert files[0].read_bytes() == here.read_bytes()
        assert (files[0].name, files[1]) == (here.name, here)
    assert not files[0].exists()


def test_files_whose_addresses_are_nearly_the_same_are_kept_apart_in_the_folder():
    at = place(f"memory://{uuid.uuid4().hex}")
    addresses = [at / "a b" / "log.jsonl", at / "a" / "b" / "log.jsonl", at / "a" / "b log.jsonl"]
    for i, address in enumerate(addresses):
        address.parent.mkdir(parents=True, exist_ok=True)
        address.write_bytes(str(i).encode())
    with fetched(addresses) as files:
        assert [file.read_bytes() for file in files] == [b"0", b"1", b"2"]
        assert [file.name for file in files] == ["log.jsonl", "log.jsonl", "b log.jsonl"]


def test_a_file_that_is_ingested_from_an_address_again_is_quarantined_once_under_that_address(tmp_path):
    address = place(f"memory://{uuid.uuid4().hex}/export.jsonl")
    rows = [routed_request(), routed_request(request_id="", quality=3)]
    written = write_json_lines(tmp_path / "export.jsonl", rows).read_bytes() + b"no JSON\n"
    address.parent.mkdir(parents=True, exist_ok=True)
    address.write_bytes(written)
    for n_new in (1, 0):
        summary = ingest([address], LogStore(tmp_path / "store"), tmp_path / "quarantine")
        assert (summary.n_accepted, str(summary.files[0].path)) == (n_new, str(address))
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert [json.loads(line)["source"] for line in kept.read_text("utf-8").splitlines()] == [str(address)] * 2


def test_an_address_with_a_password_in_it_is_refused_without_repeating_it():
    with pytest.raises(InputError, match="the ftp:// address holds a password") as refused:
        place("ftp://somebody:hush@host/export.jsonl")
    assert "hush" not in str(refused.value)


def test_nothing_is_written_to_an_address(local, remote, tmp_path):
    with pytest.raises(InputError, match="can be read but not written"):
        ingest([local.path], remote, tmp_path / "quarantine")
    with pytest.raises(InputError, match="can be read but not written"):
        remote.append_requests(local.requests())


def test_a_file_that_is_not_there_is_one_sentence():
    with (
        pytest.raises(DataError, match=r"no file memory://.*none.jsonl: check the address"),
        fetched([place("memory://nothing/none.jsonl")]),
    ):
        pass


def test_a_protocol_that_needs_a_package_says_so():
    with pytest.raises(MissingExtraError, match=r'reading gs://bucket/logs .*gcsfs.* needs the "object-store" extra'):
        place("gs://bucket/logs")
    with pytest.raises(InputError, match="nope://bucket is no address that can be read"):
        place("nope://bucket")


def test_the_settings_may_name_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEAST_LOGS__STORE", "memory://settings/logs")
    assert str(load_settings().logs.store) == "memory://settings/logs"
