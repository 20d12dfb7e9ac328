"""How commands speak: rich tables for people, JSON for programs, one sentence for errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from beast_ml.errors import InputError

__all__ = [
    "Bars",
    "JsonOption",
    "one_of",
    "print_json",
    "print_table",
    "progress_bar",
    "say",
    "stderr",
    "stdout",
]

T = TypeVar("T", bound=str)

stdout = Console(soft_wrap=True)
"""For results."""

stderr = Console(stderr=True, soft_wrap=True)
"""For errors, and what is said beside a result."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]
"""The option `--json`."""


def print_json(value: Any) -> None:
    """Print one JSON document on standard output; numpy and path values become plain ones, NaN and infinity null."""
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str | None = None
) -> None:
    """Print a table; numbers are right-aligned, and cells are shown whole and as they are, brackets too."""
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    body = [list(row) for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(body) and all(isinstance(row[i], int | float) for row in body)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(f"{cell:.4g}" if isinstance(cell, float) else str(cell)) for cell in row))
    stdout.print(table)


def progress_bar() -> Progress:
    """Return a progress bar on standard error, so that output can still be piped."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
    )


class Bars:
    """One progress bar per thing that is being done.

    Parameters
    ----------
    progress
        Where they are shown.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def advance(self, what: str, done: int, total: int) -> None:
        """Show how far it is."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)


def say(text: str) -> None:
    """Tell people what is being done, on standard error; a text that starts with "warning:" stands out."""
    style = "yellow" if text.startswith("warning:") else "dim"
    stderr.print(text, highlight=False, markup=False, style=style)


def one_of(option: str, value: str, allowed: tuple[T, ...]) -> T:
    """Return the value when it is allowed.

    Raises
    ------
    InputError
        If it is not.
    """
    for choice in allowed:
        if value == choice:
            return choice
    raise InputError(f"`{option}` == {value!r}, must be one of {', '.join(allowed)}")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None  # JSON has neither NaN nor infinity
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return _plain(value.tolist())
    return str(value)
