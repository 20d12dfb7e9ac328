"""A report as plain parts, which Markdown and HTML are both made of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOTHING", "Block", "Bullets", "Commands", "Document", "Grid", "Paragraph", "Picture", "Section"]

NOTHING = "Nothing recorded."


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; ``strong`` ones are what to read first."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list; a numbered one where the order matters."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Grid:
    """A table.

    Parameters
    ----------
    caption
        What it shows.
    columns
        Heads; the first column heads its row.
    rows
        Cells as text; those of ``numeric`` columns are aligned to the right.
    numeric
        Positions of columns of numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A picture as PNG, and what it shows in words for those who do not see it."""

    png: bytes
    words: str


@dataclass(frozen=True)
class Commands:
    """Lines for a shell, each with why."""

    lines: tuple[tuple[str, str], ...]


Block = Paragraph | Bullets | Grid | Picture | Commands


@dataclass(frozen=True)
class Section:
    """A chapter."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report.

    Parameters
    ----------
    title, subtitle
        What it is of, and what it is made from.
    sections
        Its chapters, in order.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
