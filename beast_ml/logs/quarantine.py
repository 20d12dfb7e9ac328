"""Rows that cannot be used are kept, each with its reason, where someone can look at them."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

__all__ = ["QuarantineFile", "RejectedRow", "quarantine_path"]


class RejectedRow(msgspec.Struct, frozen=True):
    """A row that was refused.

    Parameters
    ----------
    source
        The file it came from.
    row
        Its line (text files) or row (Parquet) in that file, from 1.
    reason
        What is wrong with it, in words that are the same for every row with this fault.
    raw
        The row as it was read; bytes that are not text are escaped in hexadecimal.
    """

    source: str
    row: int
    reason: str
    raw: Any

    def to_json(self) -> str:
        """Return one line of JSON; values that JSON does not know become text."""
        fields = {name: _plain(getattr(self, name)) for name in self.__struct_fields__}
        return msgspec.json.encode(fields).decode()

    def raw_json(self) -> str:
        """Return the raw row alone, as JSON."""
        return msgspec.json.encode(_plain(self.raw)).decode()


class QuarantineFile:
    """Rejected rows as JSON lines; a context manager that puts the file in place, whole, at the end.

    The rows go to a hidden file first. If the block raises, nothing is left behind; if no row was rejected, there is
    no file (and a stale one of the same name is removed).

    Parameters
    ----------
    path
        Where the file will be; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> QuarantineFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._hidden.open("w", encoding="utf-8")
        return self

    def add(self, rows: Iterable[RejectedRow]) -> None:
        """Write the rows down and count their reasons."""
        for row in rows:
            self.reasons[row.reason] += 1
            self._file.write(row.to_json() + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self.reasons:
            self._hidden.replace(self.path)
            return
        self._hidden.unlink()
        if kind is None:
            self.path.unlink(missing_ok=True)


def quarantine_path(folder: Path, source: Path) -> Path:
    """Return where a source file's rejected rows go: one file per source, so that reading it again replaces it."""
    whole = str(source.resolve())
    return folder / f"{source.stem}-{hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()}.jsonl"


def _plain(value: Any) -> Any:
    """Return the value with nothing in it that JSON cannot hold."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _readable(text: str) -> str:
    """Return the text with stray bytes and lone surrogates escaped."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
