"""Who works on the parts of a job, and where its data lie, as options of commands and pipelines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from beast_ml.cli.output import one_of
from beast_ml.errors import InputError
from beast_ml.executors import Executor, LocalExecutor
from beast_ml.places import fetched

if TYPE_CHECKING:
    from beast_ml.evaluation.outcome_files import OutcomeSet

__all__ = [
    "EXECUTORS",
    "ExecutorOption",
    "SchedulerOption",
    "add_executor_options",
    "opened_executor",
    "read_outcomes_at",
]

EXECUTORS: Final[tuple[Literal["local"], Literal["dask"]]] = ("local", "dask")
"""Who may work on the parts of a job."""

_EXECUTOR_HELP: Final = "local, or dask: log scans, features and tree fits by the workers of a Dask cluster."
_SCHEDULER_HELP: Final = "Of the Dask cluster, such as tcp://HOST:8786."

ExecutorOption = Annotated[str, typer.Option("--executor", help=_EXECUTOR_HELP)]
"""The option `--executor`."""

SchedulerOption = Annotated[str | None, typer.Option("--scheduler", help=_SCHEDULER_HELP)]
"""The option `--scheduler`."""


def add_executor_options(parser: argparse.ArgumentParser) -> None:
    """Give a pipeline the options ``--executor`` and ``--scheduler``."""
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help=_EXECUTOR_HELP)
    parser.add_argument("--scheduler", help=_SCHEDULER_HELP)


@contextmanager
def opened_executor(name: str, scheduler: str | None) -> Iterator[Executor]:
    """Give the executor that the options name, until the block ends.

    Raises
    ------
    InputError
        If a scheduler is missing, or one is given that nobody would ask.
    ClusterError
        If the cluster is away, or runs other releases.
    """
    if one_of("--executor", name, EXECUTORS) == "local":
        if scheduler is not None:
            raise InputError(f"--scheduler {scheduler} is for --executor dask: give both, or neither")
        yield LocalExecutor()
        return
    if scheduler is None:
        raise InputError("--executor dask needs --scheduler tcp://HOST:8786, the address that `dask scheduler` prints")
    from beast_ml.executors.dask import DaskExecutor

    with DaskExecutor.connect(scheduler) as executor:
        yield executor


def read_outcomes_at(*paths: Path, keep_every_query: bool = False) -> list[OutcomeSet]:
    """Return the outcome tables in files, on this machine or in an object store (`beast_ml.places`)."""
    from dataclasses import replace

    from beast_ml.evaluation.outcome_files import read_outcome_set

    with fetched(paths) as files:
        sets = [read_outcome_set(file, keep_every_query=keep_every_query) for file in files]
    return [replace(each, path=path) for each, path in zip(sets, paths, strict=True)]
