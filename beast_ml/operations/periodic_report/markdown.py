"""A report as Markdown; pictures lie in it as data, so that it can be sent as one file."""

from __future__ import annotations

import base64
import re

from beast_ml.operations.periodic_report.document import (
    CODE,
    Block,
    Bullets,
    Commands,
    Document,
    Grid,
    Paragraph,
    Picture,
    Section,
)

__all__ = ["to_markdown"]


def to_markdown(document: Document) -> str:
    """Return a report as Markdown."""
    parts = [f"# {_escaped(document.title)}", _escaped(document.subtitle)]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    return [f"## {_escaped(section.title)}", *(_block(block) for block in section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, strong):
            return f"**{_text(text)}**" if strong else _text(text)
        case Bullets(items, numbered):
            return "\n".join(f"{f'{i}.' if numbered else '-'} {_text(item)}" for i, item in enumerate(items, 1))
        case Grid():
            return _grid(block)
        case Picture(png, words):
            return f"![{_escaped(words)}](data:image/png;base64,{base64.b64encode(png).decode()})"
        case Commands(lines):
            return "```sh\n" + "\n".join(f"# {why}\n{command}" for command, why in lines) + "\n```"


def _grid(grid: Grid) -> str:
    rule = ["---:" if i in grid.numeric else "---" for i in range(len(grid.columns))]
    rows = [[_escaped(cell).replace("|", "\\|") for cell in row] for row in (grid.columns, *grid.rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:])]
    return f"{_escaped(grid.caption)}\n\n" + "\n".join(lines)


def _text(text: str) -> str:
    """Return prose as Markdown; what stands in backticks is code."""
    parts = CODE.split(text)  # every other one stood in backticks
    return "".join(f"`{part}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    """Return a text that Markdown takes as it is: names in it may hold what would be markup."""
    one_line = re.sub(r"\s+", " ", text)
    return "".join(f"\\{c}" if c in "\\`*_[]<>#" else c for c in one_line)
