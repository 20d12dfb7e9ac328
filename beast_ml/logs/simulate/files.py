"""The two forms in which simulated requests lie on disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["DayPartitions", "JsonLines", "LogFile"]

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DICTIONARY_BYTES: Final = 16 << 20  # repeated prompts stay in the dictionary page


class LogFile(Protocol):
    """Where requests go, in order of arrival."""

    def write(self, requests: pa.Table) -> None:
        """Append the next requests, at least one."""
        ...

    def close(self) -> None:
        """Finish what is open."""
        ...


class DayPartitions:
    """``day=YYYY-MM-DD/part-000.parquet``; requests come in order, so only one file is open at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day: int | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, requests: pa.Table) -> None:
        """Append the next requests, at least one."""
        days = requests["received_at"].cast(pa.int64()).to_numpy() // _DAY_US
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        for start, end in zip(starts, np.append(starts[1:], len(days)), strict=True):
            self._open(int(days[start]), requests.schema).write_table(requests.slice(start, end - start))

    def close(self) -> None:
        """Finish the open day."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, day: int, schema: pa.Schema) -> pq.ParquetWriter:
        if self._writer is None or day != self._day:
            self.close()
            date = (_EPOCH + timedelta(days=day)).date()
            path = self._folder / f"day={date.isoformat()}" / "part-000.parquet"
            path.parent.mkdir()
            self._writer = pq.ParquetWriter(
                path, schema, compression="zstd", dictionary_pagesize_limit=_DICTIONARY_BYTES
            )
            self._day = day
        return self._writer


class JsonLines:
    """``requests.jsonl``: a JSON object a line; nulls are left out, times are RFC 3339."""

    def __init__(self, folder: Path) -> None:
        self._stream = (folder / "requests.jsonl").open("wb")
        self._encoder = msgspec.json.Encoder()

    def write(self, requests: pa.Table) -> None:
        """Append the next requests, at least one."""
        kept = requests.select([name for name in requests.column_names if requests[name].null_count < len(requests)])
        rows = kept.to_pylist(maps_as_pydicts="strict")
        self._stream.write(
            self._encoder.encode_lines([{k: v for k, v in row.items() if v is not None} for row in rows])
        )

    def close(self) -> None:
        """Finish the file."""
        self._stream.close()
