import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from beast_ml.errors import DownloadError
from beast_ml.logs.public.download import download, http_client

CONTENT = bytes(range(256)) * 4000  # about 1 MB, several blocks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with http_client() as client:
        yield client


@pytest.fixture
def url(server) -> str:
    server.files["data.bin"] = CONTENT
    return f"{server.url}/data.bin"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_nothing_else_stays(client: httpx2.Client, url: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    digest = download(client, url, tmp_path / "data.bin", DIGEST, lambda have, total: seen.append((have, total)))
    assert digest == DIGEST
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [have for have, _ in seen] == sorted(have for have, _ in seen)


def test_a_transfer_that_breaks_off_is_resumed_where_it_stopped(client, url, server, tmp_path: Path) -> None:
    server.faults = [("cut", 300_000)]
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST
    assert server.ranges[0] is None
    assert server.ranges[1] == "bytes=300000-"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_what_came_is_kept_for_the_next_run(client, url, server, tmp_path: Path) -> None:
    server.faults = [("cut", 100_000), ("cut", 100_000), 503]
    with pytest.raises(DownloadError, match=r"the server answers 503; check the network.*what has come is kept"):
        download(client, url, tmp_path / "data.bin", DIGEST)
    assert names(tmp_path) == ["data.bin.part", "data.bin.part.etag"]
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST
    assert server.ranges[-1] == "bytes=200000-"
    assert names(tmp_path) == ["data.bin"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(client, url, server, tmp_path: Path) -> None:
    server.faults = [("cut", 100_000), 500, 500]
    with pytest.raises(DownloadError):
        download(client, url, tmp_path / "data.bin")
    server.files["data.bin"] = b"another version"
    assert download(client, url, tmp_path / "data.bin") == hashlib.sha256(b"another version").hexdigest()
    assert (tmp_path / "data.bin").read_bytes() == b"another version"


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_version_tag_nothing_is_resumed(client, url, server, tmp_path: Path, etag: str) -> None:
    server.etags["data.bin"] = etag
    server.faults = [("cut", 100_000)]
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST
    assert server.ranges == [None, None]


def test_a_part_beyond_the_end_starts_again(client, url, server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"too much")
    (tmp_path / "data.bin.part.etag").write_text(f'"{hash(CONTENT)}"')
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST
    assert server.ranges == [f"bytes={len(CONTENT) + 8}-", None]


def test_a_server_that_sends_another_range_is_not_believed(client, url, server, tmp_path: Path) -> None:
    server.lie_about_range = True
    server.faults = [("cut", 100_000)]
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST
    assert server.ranges == [None, "bytes=100000-", None]


def test_a_500_that_passes_is_tried_again(client, url, server, tmp_path: Path) -> None:
    server.faults = [500, 429]
    assert download(client, url, tmp_path / "data.bin", DIGEST) == DIGEST


def test_a_wrong_digest_is_thrown_away(client, url, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"has sha256 {DIGEST}, must have abc: .* is thrown away"):
        download(client, url, tmp_path / "data.bin", "abc")
    assert names(tmp_path) == []


def test_a_404_is_not_tried_again(client, server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"answers 404 Not Found for .*/gone: the file is not there"):
        download(client, f"{server.url}/gone", tmp_path / "gone")
    assert len(server.ranges) == 1
    assert names(tmp_path) == []


def test_being_offline_says_to_check_the_network(client, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.*check the network and pull again"):
        download(client, f"http://127.0.0.1:{port}/x", tmp_path / "x")


def test_an_address_that_is_none_is_an_error(client, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot fetch http://:x"):
        download(client, "http://:x", tmp_path / "x")
