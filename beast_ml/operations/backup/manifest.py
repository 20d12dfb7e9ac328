"""What a backup says of itself: each of its files, with size, hash and mode, and what is not in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from beast_ml.errors import DataError, InputError
from beast_ml.operations.backup.places import Kept

__all__ = ["FORMAT", "MANIFEST", "BackupFile", "Manifest", "SharedTable", "name_of", "read_manifest", "verify"]

FORMAT: Final = 1
"""Of the folder; another one is refused."""

MANIFEST: Final = "manifest.json"
"""Name of the file; a folder without it is no backup."""


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup.

    Parameters
    ----------
    size
        Bytes.
    sha256
        Of its content.
    mode
        Who may read it, as `os.chmod` takes it.
    """

    size: int
    sha256: str
    mode: int


class SharedTable(msgspec.Struct, frozen=True):
    """A table of the PostgreSQL that hosts share.

    Parameters
    ----------
    columns
        In the order of its file.
    n_rows
        In it.
    """

    columns: tuple[str, ...]
    n_rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup.

    Parameters
    ----------
    format
        Of the folder; see `FORMAT`.
    made_at
        When its copying began; rows acknowledged before are in it.
    places
        Where its parts go.
    artifacts, database_url_shown
        Where a SQLite registry kept its files, an absolute path; and the shared database, without its password.
    files
        By their paths in it.
    tables
        Of PostgreSQL, by name.
    left_out
        What is not in it -> why.
    digest
        SHA-256 of all the rest.
    """

    format: int = FORMAT
    made_at: datetime
    places: Kept
    artifacts: str
    files: dict[str, BackupFile]
    tables: dict[str, SharedTable] = {}
    database_url_shown: str | None = None
    left_out: dict[str, str] = {}
    digest: str = ""

    def signed(self) -> Manifest:
        """Return the same with its digest."""
        bare = msgspec.structs.replace(self, digest="")
        return msgspec.structs.replace(self, digest=sha256(msgspec.json.encode(bare, order="sorted")).hexdigest())

    @property
    def n_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files.values())


def name_of(made_at: datetime) -> str:
    """Return the name of the folder of a backup that was begun then; names sort by time.

    Examples
    --------
    >>> name_of(datetime(2026, 11, 30, 8, 5, tzinfo=UTC))
    '2026-11-30T08-05-00.000000Z'
    """
    return made_at.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup says of itself.

    Raises
    ------
    InputError
        If the folder is no backup.
    DataError
        If its manifest is damaged, or of another format.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{folder} is no backup: it has no {MANIFEST}") from error
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / MANIFEST} is damaged ({error}): restore another backup") from error
    if found.format != FORMAT:
        raise DataError(f"{folder} is a backup of format {found.format}, this release reads {FORMAT}")
    if found.signed().digest != found.digest:
        raise DataError(f"{folder / MANIFEST} is damaged: it does not match its own digest; restore another backup")
    for name in found.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[^\x00]+", name):
            raise DataError(f"{folder / MANIFEST} names the file {name!r}, which is not within a backup")
    return found


def verify(folder: Path, manifest: Manifest, names: Sequence[str] | None = None) -> None:
    """Compare the files of a backup with what its manifest says of them.

    Raises
    ------
    DataError
        If one is missing, or is not what was written: all of these are named.
    """
    wrong = []
    for name in manifest.files if names is None else names:
        path, said = folder / name, manifest.files[name]
        if path.is_symlink() or not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != said.size:
            wrong.append(f"{name} has {path.stat().st_size:,} bytes, must have {said.size:,}")
        else:
            with path.open("rb") as stream:
                if file_digest(stream, "sha256").hexdigest() != said.sha256:
                    wrong.append(f"{name} has another SHA-256 than when it was written")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError(f"the backup {folder} is damaged: {'; '.join(wrong[:5])}{more}: restore another one")
