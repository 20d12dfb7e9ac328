"""Rows of the request log as they are written: the ends of segments that grow, are sealed, and go to the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from beast_ml.logs.segments import OPEN_SUFFIX, SEALED_SUFFIX

__all__ = ["SegmentTail"]

_MOST_BYTES: Final = 8 << 20


class SegmentTail:
    """Reads each row of a folder of segments once.

    Parameters
    ----------
    folder
        Of the segments; it need not exist yet.
    since_s
        Segments that were last written before are not read; seconds since 1970.
    """

    def __init__(self, folder: Path, since_s: float = 0.0) -> None:
        self.folder = folder
        self._since_s = since_s
        self._offsets: dict[str, int] = {}

    def poll(self) -> tuple[list[bytes], bool]:
        """Return the whole lines that came since the last call, and whether there are more now.

        A segment keeps its place when it is sealed. One that a compaction took away before its end was read is in the
        store.
        """
        lines: list[bytes] = []
        room, is_behind = _MOST_BYTES, False
        seen: set[str] = set()
        for name, path in sorted(self._segments()):
            seen.add(name)
            if room <= 0:
                is_behind = True
                continue
            data, has_more = self._new_bytes(name, path, room)
            room -= len(data)
            is_behind |= has_more
            lines += data.splitlines()
        self._offsets = {name: offset for name, offset in self._offsets.items() if name in seen}
        return lines, is_behind

    def _segments(self) -> list[tuple[str, str]]:
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError:
            return []
        return [
            (name.removesuffix(OPEN_SUFFIX).removesuffix(SEALED_SUFFIX), str(self.folder / name))
            for name in names
            if name.endswith(SEALED_SUFFIX) and not name.startswith(".")
        ]

    def _new_bytes(self, name: str, path: str, room: int) -> tuple[bytes, bool]:
        """Return the whole lines that a segment has more than before, as far as there is room; whether it has more."""
        try:
            status = os.stat(path)  # noqa: PTH116  ten times a second, of every segment
            offset = self._offsets.setdefault(name, status.st_size if status.st_mtime < self._since_s else 0)
            if status.st_size <= offset:
                return b"", False
            with open(path, "rb") as file:  # noqa: PTH123  as above
                file.seek(offset)
                data = file.read(max(room, 1 << 16))
        except FileNotFoundError:  # sealed, or compacted, between the look and now
            return b"", False
        whole = data[: data.rfind(b"\n") + 1]
        self._offsets[name] = offset + len(whole)
        return whole, bool(whole) and status.st_size > self._offsets[name]
