"""Fetching a file over HTTP: streamed, resumed where it broke off, verified, and in place only when it is whole."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
import stamina

from beast_ml.errors import DownloadError
from beast_ml.logs.public.identity import file_sha256

__all__ = ["Progress", "download", "http_client"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes of a file that are here, and its size where the server tells it."""

_ATTEMPTS: Final = 5
_PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416

_log = logging.getLogger(__name__)


class _PassingError(Exception):
    """A failure that may go away by itself."""


def http_client() -> httpx2.Client:
    """Return a client that follows redirects and asks for files as they are, uncompressed, so that ranges fit."""
    return httpx2.Client(
        follow_redirects=True,
        timeout=httpx2.Timeout(30.0),
        headers={"Accept-Encoding": "identity", "User-Agent": "beast-ml"},
    )


def download(
    client: httpx2.Client, url: str, path: Path, sha256: str | None = None, on_progress: Progress | None = None
) -> str:
    """Fetch a file and return its sha256; ``path`` holds the whole verified file or does not exist.

    What has come so far lies beside it as ``NAME.part`` and is taken up again after a failure, now or in a later run,
    as long as the server still has the same version (ETag). Failures that may pass (5xx, 429, broken connections) are
    tried again a few times.

    Parameters
    ----------
    client
        As `http_client` makes it.
    url
        Where the file is.
    path
        Where it goes; its folder must exist.
    sha256
        What its digest must be, where that is known.
    on_progress
        Told how far it is.

    Raises
    ------
    DownloadError
        If the server cannot be reached or refuses, the file is not there, or its digest is another.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        for attempt in stamina.retry_context(on=_PassingError, attempts=_ATTEMPTS, timeout=None, wait_max=20.0):
            with attempt:
                _fetch(client, url, part, on_progress)
    except _PassingError as error:
        raise DownloadError(
            f"cannot fetch {url}: {error}; check the network and pull again: what has come is kept"
        ) from error
    digest = file_sha256(part)
    if sha256 is not None and digest != sha256:
        part.unlink()
        _version(part).unlink(missing_ok=True)
        raise DownloadError(
            f"{url} has sha256 {digest}, must have {sha256}: it was changed or damaged on its way and is thrown away"
        )
    part.replace(path)
    _version(part).unlink(missing_ok=True)
    return digest


def _fetch(client: httpx2.Client, url: str, part: Path, on_progress: Progress | None) -> None:
    """Get what is missing of a file into its part."""
    have = part.stat().st_size if part.exists() else 0
    version = _version(part)
    headers = {}
    if have and version.exists():
        headers = {"Range": f"bytes={have}-", "If-Range": version.read_text("utf-8")}
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == _RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise _PassingError("what had come does not fit the server's file")
            _refuse(url, response)
            if response.status_code != _PARTIAL:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink()
                raise _PassingError("the server sent another range than was asked for")
            etag = response.headers.get("ETag", "")
            # A weak tag does not promise the same bytes, and offsets into compressed content are not ours.
            if etag and not etag.startswith("W/") and "Content-Encoding" not in response.headers:
                version.write_text(etag, "utf-8")
            else:
                version.unlink(missing_ok=True)
            length = response.headers.get("Content-Length")
            total = have + int(length) if length is not None else None
            with part.open("ab" if have else "wb") as stream:
                for block in response.iter_bytes():
                    stream.write(block)
                    have += len(block)
                    if on_progress is not None:
                        on_progress(have, total)
    except httpx2.TransportError as error:
        _log.info("fetching %s broke off after %d bytes: %s", url, have, error)
        raise _PassingError(str(error) or type(error).__name__) from error
    except (httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        raise DownloadError(f"cannot fetch {url}: {error}") from error


def _refuse(url: str, response: httpx2.Response) -> None:
    if response.status_code in (_OK, _PARTIAL):
        return
    if response.status_code in _PASSING_STATUSES:
        raise _PassingError(f"the server answers {response.status_code}")
    raise DownloadError(
        f"the server answers {response.status_code} {response.reason_phrase} for {url}: "
        "the file is not there any more or is not public; nothing was pulled"
    )


def _version(part: Path) -> Path:
    """Where the ETag of a part is kept."""
    return part.with_name(f"{part.name}.etag")
