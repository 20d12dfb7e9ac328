"""Rows of the log's store that were not read yet: Parquet files that compactions, on any host, have added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.logs.store_parts import current_parts, numbers_of
from beast_ml.serving.dashboard.log_lines import AttemptLine, FeedbackLine, LogLine, OutcomeLine, RequestLine

__all__ = ["StoreTail"]

_CHUNK: Final = 10_000
_LATE: Final[dict[str, tuple[type[OutcomeLine] | type[FeedbackLine], str]]] = {
    "outcomes": (OutcomeLine, "observed_at"),
    "feedback": (FeedbackLine, "feedback_at"),
}


_FAILED_CALLS: Final = "list_filter(coalesce(attempts, []), lambda call: call.status NOT IN ('ok', 'cancelled'))[:1]"


class StoreTail:
    """Reads each file of a log store once; of files that were merged, those whose rows are not known.

    Parameters
    ----------
    store
        The folder; it need not exist yet.
    most_rows
        Of the requests of one look, the newest; more are not kept anyway.
    """

    def __init__(self, store: Path, most_rows: int) -> None:
        self.store = store
        self._most_rows = most_rows
        self._read: dict[str, set[int]] = {}
        self._read_unnumbered: set[Path] = set()

    def poll(self, since: datetime) -> Iterator[list[LogLine]]:
        """Yield the rows of new files in chunks: requests received at or after a time, and what was told since.

        Raises
        ------
        OSError, duckdb.Error
            If a file cannot be read, say because it was merged in the meantime; the next call reads it.
        """
        first = since.astimezone(UTC).date()
        days = [folder for folder in sorted(self.store.glob("day=*")) if _day(folder) >= first]
        new = {folder: files for folder in days if (files := self._new(folder))}
        files = [file for each in new.values() for file in each]
        newest = f"ORDER BY received_at DESC LIMIT {self._most_rows}"
        yield from self._rows(RequestLine, files, "received_at", since, newest)
        self._done(files)
        for name, (line, at) in _LATE.items():
            files = self._new(self.store / name)
            yield from self._rows(line, files, at, since, "")
            self._done(files)

    def _new(self, folder: Path) -> list[Path]:
        read = self._read.setdefault(str(folder), set())
        return [
            file
            for file in current_parts(folder)
            if (
                file not in self._read_unnumbered
                if (numbers := numbers_of(file)) is None
                else not read.issuperset(range(numbers[0], numbers[1] + 1))
            )
        ]

    def _done(self, files: Sequence[Path]) -> None:
        for file in files:
            numbers = numbers_of(file)
            if numbers is None:
                self._read_unnumbered.add(file)
            else:
                self._read[str(file.parent)] |= set(range(numbers[0], numbers[1] + 1))

    def _rows(
        self,
        line: type[RequestLine] | type[OutcomeLine] | type[FeedbackLine],
        files: Sequence[Path],
        at: str,
        since: datetime,
        rest: str,
    ) -> Iterator[list[LogLine]]:
        if not files:
            return
        import duckdb

        from beast_ml.logs.store_files import duckdb_files

        names = [field.name for field in msgspec.structs.fields(line)]
        # Times as numbers: DuckDB's own conversion wants pytz. Of calls only what is shown: few fail.
        selected = ", ".join(
            f"epoch_us({name})" if name.endswith("_at") else _FAILED_CALLS if name == "attempts" else name
            for name in names
        )
        # Fixed names, escaped paths and a bound parameter.
        query = (
            f"SELECT {selected} FROM read_parquet({duckdb_files(files)}, union_by_name=true, "  # noqa: S608
            f"hive_partitioning=false) WHERE {at} >= ? {rest}"
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET threads = 1; SET memory_limit = '512MB'")
            rows = connection.execute(query, [since])
            while chunk := rows.fetchmany(_CHUNK):
                yield [_line(line, dict(zip(names, row, strict=True))) for row in chunk]


def _line(line: type[RequestLine] | type[OutcomeLine] | type[FeedbackLine], told: dict[str, Any]) -> LogLine:
    for name, value in told.items():
        if name.endswith("_at") and value is not None:
            told[name] = datetime.fromtimestamp(value / 1e6, UTC)
        elif name == "attempts":
            told[name] = tuple(AttemptLine(call["status"], call["error_kind"]) for call in value)
    return line(**told)


def _day(folder: Path) -> date:
    try:
        return date.fromisoformat(folder.name.removeprefix("day="))
    except ValueError:
        return date.min
