"""Values as they stand in DuckDB's SQL."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["text_sql", "time_sql"]


def text_sql(text: str) -> str:
    """Return a text as SQL.

    Examples
    --------
    >>> text_sql("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def time_sql(time: datetime) -> str:
    """Return an aware time as SQL."""
    return f"TIMESTAMPTZ '{time.astimezone(UTC).isoformat()}'"
