"""From the catalogue to an outcome table on disk: fetch, verify, convert, check, put in place."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2

from beast_ml.errors import DataError, DownloadError, InputError
from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.public.catalogue import PublicSet
from beast_ml.logs.public.catalogue_files import SourceFile
from beast_ml.logs.public.download import download, http_client
from beast_ml.logs.public.identity import file_sha256
from beast_ml.logs.public.quickstart import quickstart_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DIGESTS_FILE", "OUTCOMES_FILE", "FileProgress", "Pulled", "pull"]

OUTCOMES_FILE: Final = "outcomes.parquet"
"""The table of a pulled set."""

DIGESTS_FILE: Final = "digests.json"
"""Digests of what it was made from."""

_QUARANTINE_FILE: Final = "quarantine.jsonl"
_DOWNLOADS: Final = ".downloads"
_PACKAGE: Final = "package:quickstart/"

FileProgress = Callable[[str, int, int | None], None]
"""Called with a file's name, its bytes that are here, and its size where that is known."""


@dataclass(frozen=True)
class Pulled:
    """A public set that is on disk now.

    Parameters
    ----------
    outcomes
        Its outcome table.
    n_rows, n_queries, n_models
        Its size.
    n_quarantined
        Rows of the source that are no valid outcomes; they lie in ``quarantine.jsonl`` beside the table.
    first_seen
        Files whose digest was recorded now, because their publisher gives none.
    """

    outcomes: Path
    n_rows: int
    n_queries: int
    n_models: int
    n_quarantined: int
    first_seen: tuple[str, ...]


def pull(
    public_set: PublicSet,
    directory: Path,
    *,
    accept_licence: bool = False,
    client: httpx2.Client | None = None,
    on_progress: FileProgress | None = None,
) -> Pulled:
    """Fetch a public set and write ``DIRECTORY/NAME/outcomes.parquet``.

    The table appears whole or not at all. Files that came before a failure are kept and not fetched again. Digests of
    files whose publisher gives none are recorded in ``digests.json`` at the first pull, and every later pull must meet
    them.

    Parameters
    ----------
    public_set
        What to pull.
    directory
        Where public sets are kept.
    accept_licence
        The user's word that they use a set without a licence for their own evaluation only.
    client
        Another HTTP client than the usual one.
    on_progress
        Told how far each file is.

    Raises
    ------
    InputError
        If the set cannot be pulled, or its licence must be accepted first.
    DownloadError
        If a file cannot be fetched, or is not what it should be.
    DataError
        If the files are not in the form the converter knows.
    """
    if not public_set.files:
        raise InputError(
            f"{public_set.name} cannot be pulled: {public_set.not_pullable}; its home is {public_set.home}"
        )
    if public_set.needs_acceptance and not accept_licence:
        raise InputError(
            f"{public_set.name} has no licence ({public_set.licence}), so it may not be passed on: "
            "add --accept-licence if you use it for your own evaluation only"
        )
    folder = directory / public_set.name
    downloads = folder / _DOWNLOADS
    try:
        downloads.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder with --dir") from error
    recorded = _read_digests(folder)
    files, digests = _fetch_all(public_set, downloads, recorded, client, on_progress)
    first_seen = tuple(name for name in digests if name not in recorded)
    _replace(folder / DIGESTS_FILE, json.dumps({**recorded, **digests}, indent=2, sort_keys=True) + "\n")
    result = _convert(public_set, files, folder, first_seen)
    shutil.rmtree(downloads)
    return result


def _fetch_all(
    public_set: PublicSet,
    downloads: Path,
    recorded: Mapping[str, str],
    client: httpx2.Client | None,
    on_progress: FileProgress | None,
) -> tuple[dict[str, Path], dict[str, str]]:
    files, first_digests = {}, {}
    own = client or http_client()
    try:
        for source in public_set.files:
            expected = source.sha256 or recorded.get(source.name)
            if source.url.startswith(_PACKAGE):
                path = quickstart_folder() / source.url.removeprefix(_PACKAGE)
                digest = _check_local(path, expected)
            else:
                path = downloads / source.name.replace("/", "__")
                digest = _fetch_one(own, source, path, expected, on_progress)
            if source.sha256 is None:
                first_digests[source.name] = digest
            files[source.name] = path
    finally:
        if client is None:
            own.close()
    return files, first_digests


def _fetch_one(
    client: httpx2.Client, source: SourceFile, path: Path, expected: str | None, on_progress: FileProgress | None
) -> str:
    if path.exists():  # whole, from a pull that failed at a later file
        digest = file_sha256(path)
        if expected in (None, digest):
            return digest
        path.unlink()

    def tell(have: int, total: int | None) -> None:
        if on_progress is not None:
            on_progress(source.name, have, total)

    return download(client, source.url, path, expected, tell)


def _check_local(path: Path, expected: str | None) -> str:
    if not path.is_file():
        raise DataError(f'{path} is not there; install the published package: pip install "paretobandit==0.1.1"')
    digest = file_sha256(path)
    if expected != digest:
        raise DownloadError(f"{path} has sha256 {digest}, must have {expected}: reinstall the package it belongs to")
    return digest


def _convert(public_set: PublicSet, files: Mapping[str, Path], folder: Path, first_seen: tuple[str, ...]) -> Pulled:
    module, _, function = public_set.converter.partition(":")
    convert: Callable[[Mapping[str, Path]], pd.DataFrame] = getattr(importlib.import_module(module), function)
    raw, checked = folder / _DOWNLOADS / "raw.parquet", folder / _DOWNLOADS / OUTCOMES_FILE
    convert(files).to_parquet(raw, index=False)
    ingest = read_outcomes(raw)
    ingest.frame.to_parquet(checked, index=False, compression="zstd")
    (folder / _QUARANTINE_FILE).unlink(missing_ok=True)
    ingest.save_quarantine(folder / _QUARANTINE_FILE)
    checked.replace(folder / OUTCOMES_FILE)
    return Pulled(
        outcomes=folder / OUTCOMES_FILE,
        n_rows=ingest.n_accepted,
        n_queries=int(ingest.frame["query_id"].nunique()),
        n_models=int(ingest.frame["model"].nunique()),
        n_quarantined=ingest.n_quarantined,
        first_seen=first_seen,
    )


def _read_digests(folder: Path) -> dict[str, str]:
    path = folder / DIGESTS_FILE
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}; remove it to record the digests anew") from error
    return {str(name): str(digest) for name, digest in content.items()}


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
