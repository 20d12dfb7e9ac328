"""Options and words that the benchmarks' commands share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.output import stdout

__all__ = [
    "FoldsDrawnOption",
    "FoldsOption",
    "LiteLLMOption",
    "MorePromptsOption",
    "PartsOption",
    "RepeatsOption",
    "ResumedOutOption",
    "SecondsOption",
    "command_line",
    "say_written",
]

PartsOption = Annotated[str | None, typer.Option(help="Parts, separated by commas; default: all.")]
"""Which parts of a benchmark are run."""

FoldsDrawnOption = Annotated[int, typer.Option(min=1, help="How often folds are drawn.")]
"""How many seeds a cross-validation has."""

FoldsOption = Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")]
"""Into how many parts a cross-validation cuts the questions."""

SecondsOption = Annotated[float, typer.Option(min=0.5, help="Length of each measurement.")]
"""For how long a server is measured."""

RepeatsOption = Annotated[int, typer.Option(min=1, help="Of each case, on fresh servers; medians are reported.")]
"""How often a server is measured."""

MorePromptsOption = Annotated[
    Path | None, typer.Option(envvar="BEAST_DATA_DIR", help="Folder of public sets to take more prompts from.")
]
"""Where load takes its prompts from, beside those made here."""

LiteLLMOption = Annotated[
    Path | None, typer.Option(help="A Python with LiteLLM and uvicorn, to run its router beside ours.")
]
"""What LiteLLM's router is run with."""

ResumedOutOption = Annotated[
    Path, typer.Option(help="Folder for the report; what an interrupted run left there is used.")
]
"""Where a report goes."""


def command_line() -> str:
    """Return the command that is run, as a report tells it."""
    return shlex.join(["beast", *sys.argv[1:]])


def say_written(out: Path, others: Sequence[str] = ()) -> None:
    """Tell which files the report is in: those of every benchmark, and others of this one."""
    stdout.print(f"wrote {out}/{', '.join(('report.md', 'report.json', *others))}", highlight=False, markup=False)
