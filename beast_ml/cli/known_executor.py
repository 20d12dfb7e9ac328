"""Who works on the parts of a job, as options of commands and pipelines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, Literal

import typer

from beast_ml.cli.output import one_of
from beast_ml.errors import InputError
from beast_ml.executors import Executor, LocalExecutor

__all__ = [
    "EXECUTORS",
    "ExecutorOption",
    "SchedulerOption",
    "add_executor_options",
    "opened_executor",
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
