"""Look into segments while servers write them: for drills, benchmarks and tests, not for the way to the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from beast_ml.logs.segments import OPEN_SUFFIX, SEALED_SUFFIX

__all__ = ["rows_in_segments"]


def rows_in_segments(folder: Path, table: str = "requests") -> Iterator[dict[str, Any]]:
    """Yield the rows of a table in all segments below a folder, the oldest segment first; a torn last line is none."""
    for path in sorted(folder.rglob(f"*{SEALED_SUFFIX}")):
        for line in _content(path).split(b"\n"):
            row = _row(line)
            if row is not None and row.get("table") == table:
                yield row


def _content(path: Path) -> bytes:
    """Return what a segment holds, also where it was sealed since it was listed; nothing where it was compacted."""
    for name in (path, path.with_name(path.name.removesuffix(OPEN_SUFFIX) + SEALED_SUFFIX)):
        with suppress(FileNotFoundError):
            return name.read_bytes()
    return b""


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
