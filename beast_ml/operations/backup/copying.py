"""Files into a backup: copied as they are while others write, or linked where an earlier backup has them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from hashlib import file_digest
from pathlib import Path

from beast_ml.errors import UnavailableError
from beast_ml.logs.segments import OPEN_SUFFIX, SEALED_SUFFIX, sync_folder
from beast_ml.operations.backup.manifest import BackupFile, Manifest

__all__ = ["Incoming"]


class Incoming:
    """A backup that is being written.

    Parameters
    ----------
    folder
        Where; it is there and empty.
    earlier, known
        A backup beside it, and what that says of itself: equal files are linked to its own. None: there is none.
    """

    def __init__(self, folder: Path, earlier: Path | None, known: Manifest | None) -> None:
        self.folder = folder
        self.files: dict[str, BackupFile] = {}
        self.n_linked = 0
        self._earlier, self._known = earlier, {} if known is None else known.files

    def copy(self, source: Path, name: str) -> None:
        """Copy a file that is replaced, and never changed in place; one that is gone meanwhile is left out."""
        said = self._known.get(name)
        with suppress(FileNotFoundError), source.open("rb") as stream:
            status = os.fstat(stream.fileno())
            mode = status.st_mode & 0o777
            if said is not None and said.size == status.st_size and said.mode == mode:
                if file_digest(stream, "sha256").hexdigest() == said.sha256 and self._link(name, said):
                    return
                stream.seek(0)
            with self._created(name, mode).open("wb") as target:
                shutil.copyfileobj(stream, target, 1 << 20)
            self.seal(name)

    def copy_tree(self, source: Path, name: str, leave: Iterable[str] = ()) -> None:
        """Copy what lies in a folder, but for what is hidden or named (by its first part, or as ``*suffix``)."""
        left = tuple(leave)
        for path in sorted(source.rglob("*")):
            inner = path.relative_to(source)
            named = any(
                inner.name.endswith(each[1:]) if each.startswith("*") else inner.parts[0] == each for each in left
            )
            if named or any(part.startswith(".") for part in inner.parts) or not path.is_file():
                continue
            self.copy(path, f"{name}/{inner.as_posix()}")

    def copy_segment(self, source: Path, folder: str) -> None:
        """Copy a segment up to the end of its last whole row; one that is being written counts as sealed."""
        try:
            content = source.read_bytes()
        except FileNotFoundError:  # sealed just now, under its other name
            source = source.with_name(source.name.removesuffix(OPEN_SUFFIX) + SEALED_SUFFIX)
            content = source.read_bytes()
        name = source.name.removesuffix(OPEN_SUFFIX).removesuffix(SEALED_SUFFIX) + SEALED_SUFFIX
        self.write(f"{folder}/{name}", content[: content.rfind(b"\n") + 1])

    def copy_sqlite(self, source: Path, name: str) -> None:
        """Copy a SQLite database as it is at one moment, while others write to it.

        Raises
        ------
        UnavailableError
            If it cannot be read.
        """
        target = self._created(name, source.stat().st_mode & 0o777)
        try:
            with (
                closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=30.0)) as database,
                closing(sqlite3.connect(target)) as copied,
            ):
                database.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")  # one file: nothing of it lies in another
        except sqlite3.Error as error:
            raise UnavailableError(f"{source} cannot be copied: {error}") from error
        self.seal(name)

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """Write a file."""
        self._created(name, mode).write_bytes(content)
        self.seal(name)

    def seal(self, name: str) -> None:
        """Put a written file on the disk and take down what it is, or link to the earlier backup's."""
        path = self.folder / name
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
            status = os.fstat(stream.fileno())
        found = BackupFile(status.st_size, digest, status.st_mode & 0o777)
        if found == self._known.get(name) and self._link(name, found):
            return
        self.files[name] = found

    def created(self, name: str) -> Path:
        """Return where a file is to be written that only its owner may read; `seal` ends it."""
        return self._created(name, 0o600)

    def sync(self) -> None:
        """Put the names of all files on the disk."""
        for folder in sorted({path for path in self.folder.rglob("*") if path.is_dir()}, reverse=True):
            sync_folder(folder)
        sync_folder(self.folder)

    def _created(self, name: str, mode: int) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.chmod(mode | 0o600)
        return path

    def _link(self, name: str, said: BackupFile) -> bool:
        """Link to the earlier backup's file, where that is there still and the file system has links."""
        assert self._earlier is not None  # noqa: S101  it said what it has
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        linked = path.with_name(f".{path.name}.link")
        try:
            with (self._earlier / name).open("rb") as stream:
                if file_digest(stream, "sha256").hexdigest() != said.sha256:  # damaged there: not here, too
                    return False
            os.link(self._earlier / name, linked)
            linked.replace(path)
        except OSError:
            return False
        self.files[name] = said
        self.n_linked += 1
        return True
