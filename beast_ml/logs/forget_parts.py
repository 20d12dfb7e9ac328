"""What is to be forgotten in the Parquet files of a store: each file that holds some of it gives way to a revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.forgotten import Whose
from beast_ml.logs.late_tables import LATE_SCHEMAS
from beast_ml.logs.segments import sync_folder
from beast_ml.logs.store_files import StoreWriter, stored_days
from beast_ml.logs.store_parts import current_parts, numbers_of, superseded_parts

__all__ = ["RowTest", "delete_superseded", "drop_rows", "forget_prompts", "meant_ids", "meant_rows"]

RowTest = Callable[[pa.Table], NDArray[np.bool_]]
"""Returns which rows of a table are meant, (n,)."""

_HASH: Final = "prompt_hash"


def meant_rows(whose: Whose) -> RowTest:
    """Return the test of requests that are to be forgotten."""

    def test(table: pa.Table) -> NDArray[np.bool_]:
        tenants, users = table["tenant_id"].to_pylist(), table["user_id"].to_pylist()
        pairs = {
            (tenant, user): whose.is_tenant(tenant) and whose.is_user(user)
            for tenant, user in set(zip(tenants, users, strict=True))
        }
        meant = np.array([pairs[pair] for pair in zip(tenants, users, strict=True)], dtype=bool)
        if whose.prompts_only:
            context = table["context"].to_pylist()
            has_text = table["prompt"].is_valid().to_numpy()
            meant &= has_text | np.array([any(key == _HASH for key, _ in each or ()) for each in context], dtype=bool)
        early = pc.less(table["received_at"], pa.scalar(whose.before, table.schema.field("received_at").type))
        found: NDArray[np.bool_] = meant & early.to_numpy()
        return found

    return test


def meant_ids(store: Path, test: RowTest) -> set[str]:
    """Return the ids of the requests in a store that are meant."""
    found: set[str] = set()
    for file in _request_parts(store):
        for rows in _groups(file):
            found.update(rows.filter(pa.array(test(rows)))["request_id"].to_pylist())
    return found


def drop_rows(store: Path, folders: list[str], test: RowTest, *, dry_run: bool = False) -> int:
    """Take rows out of the files of some folders of a store, and return how many; see `forget_prompts`."""
    return sum(
        _revise(store, file, test, lambda rows: rows.filter(pa.array(~test(rows))), dry_run=dry_run)
        for folder in folders
        for file in current_parts(store / folder)
    )


def forget_prompts(store: Path, test: RowTest, *, dry_run: bool = False) -> int:
    """Take the texts, and keyed hashes of them, out of the requests that are meant; return how many these were.

    The caller holds the store's lock. A kill leaves each file as it was, or revised.

    Raises
    ------
    DataError
        If a file of the store is damaged.
    """

    def change(rows: pa.Table) -> pa.Table:
        meant = test(rows)
        prompts = pc.if_else(pa.array(meant), pa.scalar(None, pa.string()), rows["prompt"])
        contexts = [
            [(key, value) for key, value in each or () if key != _HASH] if gone else each
            for each, gone in zip(rows["context"].to_pylist(), meant, strict=True)
        ]
        kept = rows.set_column(rows.column_names.index("prompt"), rows.schema.field("prompt"), prompts)
        field = kept.schema.field("context")
        return kept.set_column(kept.column_names.index("context"), field, pa.array(contexts, field.type))

    return sum(_revise(store, file, test, change, dry_run=dry_run) for file in _request_parts(store))


def delete_superseded(store: Path) -> None:
    """Delete the files that others have taken the place of: a kill may have left them, with what was in them."""
    for folder in sorted([*store.glob("day=*"), *(store / kind for kind in LATE_SCHEMAS)]):
        for file in superseded_parts(folder):
            file.unlink()


def _request_parts(store: Path) -> list[Path]:
    return [file for day in stored_days(store) for file in current_parts(store / f"day={day}")]


def _revise(store: Path, file: Path, test: RowTest, change: Callable[[pa.Table], pa.Table], *, dry_run: bool) -> int:
    n_rows = n_left = n_meant = 0
    for rows in _groups(file):
        meant = test(rows)
        n_rows, n_meant = n_rows + rows.num_rows, n_meant + int(meant.sum())
        n_left += change(rows).num_rows if meant.any() else rows.num_rows
    if not n_meant or dry_run:
        return n_meant
    if numbers_of(file) is None:
        raise DataError(f"{file} was not named by this store, so it is not changed: ingest it instead, and remove it")
    if n_left:
        with StoreWriter(store) as writer:
            writer.revise(file, change)
    for each in superseded_parts(file.parent):  # first: without the file they would be read again
        each.unlink()
    if not n_left:
        file.unlink()
        if not any(file.parent.iterdir()):
            file.parent.rmdir()
            sync_folder(store)
            return n_meant
    sync_folder(file.parent)
    return n_meant


def _groups(file: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file) as parquet:
            for i in range(parquet.num_row_groups):
                yield parquet.read_row_group(i)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} of the log store is damaged ({error}): restore or remove it") from error
