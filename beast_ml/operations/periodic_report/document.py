"""A report as plain parts, which Markdown and HTML are both made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CODE", "NOTHING", "Block", "Bullets", "Commands", "Document", "Grid", "Paragraph", "Picture", "Section"]

CODE: Final = re.compile(r"`([^`\n]+)`")
"""What prose says in backticks, such as a setting or a command."""

NOTHING = "Nothing recorded."
"""What a chapter says that has nothing to tell."""


@dataclass(frozen=True)
class Paragraph:
    """A ``text`` of a few sentences; ``strong`` ones are what to read first."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of ``items``; a ``numbered`` one where the order matters."""

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
    """A picture as ``png``, and what it shows in ``words`` for those who do not see it."""

    png: bytes
    words: str


@dataclass(frozen=True)
class Commands:
    """``lines`` for a shell, each with why."""

    lines: tuple[tuple[str, str], ...]


Block = Paragraph | Bullets | Grid | Picture | Commands
"""Whatever a chapter is made of."""


@dataclass(frozen=True)
class Section:
    """A chapter: its ``title``, and its ``blocks`` in order."""

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
