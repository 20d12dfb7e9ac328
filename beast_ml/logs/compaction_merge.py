"""A store's many small files into few, so that reading it does not become a matter of opening them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from beast_ml.errors import DataError
from beast_ml.logs.late_tables import LATE_SCHEMAS
from beast_ml.logs.store_files import StoreWriter
from beast_ml.logs.store_parts import current_parts, numbers_of, publish_lock, superseded_parts

__all__ = ["merge_files"]

_RUN: Final = 16
_MAX_BYTES: Final = 1 << 30


def merge_files(store: Path) -> int:
    """Merge every sixteen files that follow each other in a folder of a store, and sixteen of these again.

    Returns how many files gave way. No row is written more than twice. One process at a time may do this; a kill at
    any moment loses and doubles nothing.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """
    n_merged = 0
    for folder in sorted([*store.glob("day=*"), *(store / kind for kind in LATE_SCHEMAS)]):
        n_merged += _delete(superseded_parts(folder))  # a kill may have left them
        while run := _run(store, folder):
            try:
                with StoreWriter(store) as writer:
                    writer.merge(folder.name, run)
            except pa.ArrowException as error:
                raise DataError(f"{folder} of the log store holds a damaged file: {error}") from error
            n_merged += _delete(superseded_parts(folder))
    return n_merged


def _run(store: Path, folder: Path) -> Sequence[Path]:
    """Return the first files to merge: consecutive ones, none of them merged before, or all of them once."""
    with publish_lock(store):  # whatever comes later gets a higher number, and is not among those that give way
        files = current_parts(folder)
    for level in range(2):
        run: list[Path] = []
        for file in files:
            run = [*run, file] if _level(file) == level else []
            if len(run) == _RUN:
                if sum(each.stat().st_size for each in run) <= _MAX_BYTES:
                    return run
                run = run[1:]
    return ()


def _level(file: Path) -> int | None:
    """Return how often a file's rows were merged; None where somebody else named it."""
    numbers = numbers_of(file)
    if numbers is None or file.name.count("-") < 2:
        return None
    width = numbers[1] - numbers[0] + 1
    return 0 if width == 1 else 1 if width < _RUN**2 else 2


def _delete(files: Sequence[Path]) -> int:
    for file in files:
        file.unlink()
    return len(files)
