"""A table of figures, for a terminal and for a report."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sheet"]


@dataclass(frozen=True)
class Sheet:
    """A table.

    Parameters
    ----------
    title
        What it shows.
    columns, rows
        Cells are text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
