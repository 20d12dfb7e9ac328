"""The commands that a Markdown page shows, so that tests can hold it to them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import typer

from beast_ml.cli.main import app

__all__ = ["ShownCommand", "command_path", "shown_commands", "what_is_wrong"]

_PROGRAMS: Final = ("beast", "curl", "pip", "poe", "python")
_BLOCK: Final = re.compile(r"^(?: {4,}(?P<indented>\S.*)|(?P<fence>```)(?P<language>\w*).*|(?P<flush>\S.*)?)$")
_SPAN: Final = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_USAGE_ERROR: Final[Any] = typer.BadParameter.__base__
_ASSIGNED: Final = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class ShownCommand:
    """A command in a page.

    Parameters
    ----------
    page
        Where it stands.
    line
        There, from 1.
    words
        Program and arguments, as a shell splits them; without comment and environment.
    is_mentioned
        It stands within a sentence, where arguments may be left out, and not in a block to be copied.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    is_mentioned: bool

    def __str__(self) -> str:
        """Return it as it is copied."""
        return shlex.join(self.words)


def shown_commands(page: Path) -> list[ShownCommand]:
    """Return the commands of a page: those of its blocks, in their order, then those of its sentences."""
    text = page.read_text()
    blocks = [
        ShownCommand(page, number, words, is_mentioned=False)
        for number, line in _block_lines(text)
        for words in _commands(line)
    ]
    mentioned = [
        ShownCommand(page, text.count("\n", 0, span.start()) + 1, words, is_mentioned=True)
        for span in _SPAN.finditer(
            re.sub(r"^```.*?^```", lambda found: "\n" * found[0].count("\n"), text, flags=re.M | re.S)
        )
        for words in _commands(span[1].replace("\n", " "))
    ]
    return blocks + mentioned


def _block_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are indented, or fenced as a shell's."""
    fenced: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        found = _BLOCK.match(line)
        if found and found["fence"]:
            fenced = None if fenced is not None else found["language"]
        elif fenced in ("sh", "bash", "console"):
            yield number, line.strip()
        elif fenced is None and found and found["indented"]:
            yield number, found["indented"]


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands of a line of shell."""
    if "──" in line:  # a drawing
        return
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # no shell
        return
    command: list[str] = []
    for word in [*words, "&&"]:
        if word not in ("&&", "|", ";"):
            command.append(word)
            continue
        while command and _ASSIGNED.match(command[0]):
            del command[0]
        if len(command) > 1 and command[0] in _PROGRAMS:
            yield tuple(command)
        command = []


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def command_path(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of `beast` up to its first option or value: which command it is."""
    command, path = _command_line(), []
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        path.append(word)
    return tuple(path)


def what_is_wrong(arguments: Sequence[str]) -> str | None:
    """Return what the command line would say of the arguments of `beast`, without running anything; None: nothing."""
    command = _command_line()
    rest, name, context = list(arguments), "beast", None
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            if not hasattr(command, "resolve_command"):
                return None
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    except typer.Exit:  # --help
        return None
    except _USAGE_ERROR as error:
        return str(error.format_message())
