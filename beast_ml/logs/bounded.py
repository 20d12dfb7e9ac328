"""DuckDB with a bound on its memory: what does not fit goes to the disk, and comes back."""

from __future__ import annotations

import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb

__all__ = ["bounded_connection"]

_MEMORY_MB: Final = 1024


def bounded_connection(database: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection to a database, by default one in memory, that takes about a gigabyte at most.

    Beyond that, sorts, joins and groups spill into a folder beside other temporary files (``TMPDIR``), which is gone
    when the connection is closed.
    """
    connection = duckdb.connect(":memory:" if database is None else str(database))
    spilled = Path(tempfile.gettempdir()) / f"beast-spilled-{uuid.uuid4().hex[:12]}"
    connection.execute(f"SET memory_limit = '{_MEMORY_MB}MB'")
    connection.execute("SET temp_directory = $folder", {"folder": str(spilled)})
    with suppress(duckdb.InvalidInputException):  # a notebook that can show none lets nobody turn it off
        connection.execute("SET enable_progress_bar = false")  # it would stand in what --json prints
    return connection
