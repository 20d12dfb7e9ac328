"""Where data lie: on this machine's disks, or in an object store that fsspec knows (s3://, gs://, abfs://, ...).

A log store in an object store is read in place, day by day; single files are fetched whole into a folder that is
removed again. Nothing is ever written there: what writes a log store needs locks and renames that are done or not
done, which object stores do not have.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from beast_ml.errors import DataError, DownloadError, InputError, MissingExtraError

if TYPE_CHECKING:
    import duckdb

__all__ = ["connect_place", "fetched", "is_folder", "is_remote", "listed", "place", "writable"]

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"[^:]+://[^/@:]*:[^/@]*@")
_PIECE: Final = 1 << 20


def place(text: str | Path) -> Path:
    """Return the path that a text names; of an address, one that reads through fsspec as a local path would.

    Raises
    ------
    MissingExtraError
        If what speaks the address's protocol is not installed.
    InputError
        If the protocol is unknown, what speaks it refuses the address, or a password is in it: addresses are shown.
    """
    if not isinstance(text, str) or not _ADDRESS.match(text):
        return Path(text)
    if _PASSWORD.match(text):
        raise InputError(
            f"the {text.partition('://')[0]}:// address holds a password, and addresses are shown and recorded: leave "
            "it out, and give it by the protocol's settings or environment variables"
        )
    try:
        from upath import UPath

        # Listings change while others write: none is kept.
        found = UPath(text, use_listings_cache=False)
        found.fs  # noqa: B018  says now what is missing
    except ImportError as error:
        raise MissingExtraError(f"reading {text} ({error})", "object-store") from error
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{text} is no address that can be read: {error}") from error
    return cast(Path, found)  # it has all that is called here of a path's methods, and is none


def is_remote(path: Path) -> bool:
    """Return whether a path is one that reads through fsspec."""
    return not isinstance(path, Path)


def writable(store: Path) -> Path:
    """Return a path of this machine.

    Raises
    ------
    InputError
        If it is an address: nothing is written there.
    """
    if is_remote(store):
        raise InputError(
            f"{store} is in an object store, where a log store can be read but not written: write it to a disk, and "
            "copy finished files there (aws s3 sync, gcloud storage rsync)"
        )
    return store


def connect_place(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Let DuckDB read the files of an object store by their addresses; nothing to do for local ones."""
    if is_remote(path):
        connection.register_filesystem(cast(Any, path).fs)


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder.

    Raises
    ------
    DownloadError
        If what is at the address does not say.
    """
    if not is_remote(path):
        return path.is_dir()
    try:
        return path.is_dir()
    except Exception as error:  # each protocol has errors of its own
        raise DownloadError(f"{path} cannot be looked at ({type(error).__name__}: {error})") from error


def listed(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that match a pattern, as `pathlib.Path.glob` finds them.

    Raises
    ------
    DataError
        If the folder is at an address where nothing can be.
    DownloadError
        If what is at the address cannot be listed.
    """
    if not is_remote(folder):
        return list(folder.glob(pattern))
    try:
        return list(folder.glob(pattern))
    except FileNotFoundError as error:
        raise DataError(f"nothing is at {folder} ({error}): check the address") from error
    except Exception as error:  # each protocol has errors of its own
        raise DownloadError(f"{folder} cannot be listed ({type(error).__name__}: {error})") from error


@contextmanager
def fetched(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give local files for these: local ones as they are, others fetched whole and removed at the end.

    A fetched file keeps its name, in a folder named like its address.

    Raises
    ------
    DataError
        If there is no such file, or it is a folder.
    DownloadError
        If it cannot be fetched.
    """
    if not any(map(is_remote, paths)):
        yield list(paths)
        return
    with tempfile.TemporaryDirectory(prefix="beast-fetched-") as folder:
        yield [
            _fetched(path, Path(folder) / str(number)) if is_remote(path) else path for number, path in enumerate(paths)
        ]


def _fetched(remote: Path, folder: Path) -> Path:
    named = re.sub(r"[^\w=-]+", "/", str(remote.parent)).strip("/")  # without dots: nothing leads out of the folder
    local = folder / named / remote.name
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        with remote.open("rb") as source, local.open("wb") as target:
            while piece := source.read(_PIECE):
                target.write(piece)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"no file {remote}: check the address") from error
    except Exception as error:  # each protocol has errors of its own
        raise DownloadError(f"{remote} cannot be fetched ({type(error).__name__}: {error})") from error
    return local
