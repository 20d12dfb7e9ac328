"""What is learnt from: outcome tables and logs, wherever they lie, with what is to be said of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import InputError
from beast_ml.places import fetched

if TYPE_CHECKING:
    from beast_ml.evaluation.outcome_files import OutcomeSet
    from beast_ml.executors import Executor
    from beast_ml.logs.sample import LogSample
    from beast_ml.logs.store import LogStore

__all__ = ["log_store_at", "read_log_at", "read_outcomes_at"]


def read_outcomes_at(*paths: Path, keep_every_query: bool = False) -> list[OutcomeSet]:
    """Return the outcome tables in files, on this machine or in an object store, and say which rows were refused."""
    from dataclasses import replace

    from beast_ml.evaluation.outcome_files import read_outcome_set

    with fetched(paths) as files:
        sets = [read_outcome_set(file, keep_every_query=keep_every_query) for file in files]
    named = [replace(each, path=path) for each, path in zip(sets, paths, strict=True)]
    for each in named:
        if each.warning():
            say(f"warning: {each.warning()}")
    return named


def log_store_at(path: Path) -> LogStore:
    """Return the log store in a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    from beast_ml.logs.store import LogStore

    store = LogStore(path)
    if not store.days():
        raise InputError(f"no log store in {path}: `beast logs ingest FILE` makes one")
    return store


def read_log_at(path: Path, at_most: int | None, executor: Executor) -> LogSample:
    """Return the requests of a log store that are to be learnt from, and say so where they are not all.

    Raises
    ------
    InputError
        If there is no log store.
    """
    from beast_ml.logs.sample import MOST_REQUESTS, sample_log

    sample = sample_log(log_store_at(path), MOST_REQUESTS if at_most is None else at_most, executor=executor)
    if sample.warning():
        say(f"warning: {sample.warning()}")
    return sample
