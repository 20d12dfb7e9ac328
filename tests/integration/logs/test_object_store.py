"""A log store and tables in S3, on a real server: read in place by DuckDB, fetched for ingest, by the command."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beast_ml.cli.main import app
from beast_ml.errors import DataError, DownloadError
from beast_ml.logs.store import LogStore
from beast_ml.places import place
from beast_ml.testing.costly_logs import costly_log
from beast_ml.testing.log_rows import routed_request, write_json_lines

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of an empty bucket of a server in this process."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    monkeypatch.setattr(logging.getLogger("werkzeug"), "disabled", True)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket"
    server.stop()


def put(local: Path, address: str) -> None:
    place(address).write_bytes(local.read_bytes())


def test_a_store_in_s3_reads_as_the_local_one_and_what_is_exported_there_is_ingested(bucket, tmp_path, monkeypatch):
    local = costly_log(tmp_path / "log", days=2, per_day=10)
    for file in local.path.rglob("*.parquet"):
        put(file, f"{bucket}/logs/{file.relative_to(local.path)}")
    remote = LogStore(place(f"{bucket}/logs"))
    assert remote.days() == local.days()
    assert remote.requests().equals(local.requests())

    monkeypatch.chdir(tmp_path)
    costs = [
        CliRunner().invoke(app, ["report", "costs", "--store", store, "--json"])
        for store in (f"{bucket}/logs", str(local.path))
    ]
    there, here = (json.loads(result.stdout) for result in costs)
    assert there["spending"] == here["spending"]

    put(write_json_lines(tmp_path / "export.jsonl", [routed_request()]), f"{bucket}/export.jsonl")
    result = CliRunner().invoke(app, ["logs", "ingest", f"{bucket}/export.jsonl", "--store", "store", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["n_accepted"], told["files"][0]["path"]) == (1, f"{bucket}/export.jsonl")
    assert LogStore(tmp_path / "store").count() == 1

    with pytest.raises(DataError, match="nothing is at s3://nobody"):
        LogStore(place("s3://nobody/logs")).days()


def test_a_server_that_is_away_is_one_error(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DownloadError, match="s3://away/logs cannot be listed"):
        LogStore(place("s3://away/logs")).days()
