"""Paths that name the place a deployment was at, as they are where it is restored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from beast_ml.operations.backup.places import BUNDLES, Kept
from beast_ml.registry.bundle_pointer import PointerFolder, read_pointer, write_pointer

__all__ = ["move_artifacts", "move_pointers", "move_settings"]

_COLUMNS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def move_artifacts(database: Path, old: Path, new: Path) -> None:
    """Have a SQLite registry find its files below another folder: MLflow writes absolute paths."""
    with closing(sqlite3.connect(database)) as connection, connection:
        there = {
            (table, row[1])
            for table in {table for table, _ in _COLUMNS}
            for row in connection.execute(f"PRAGMA table_info({table})")
        }
        for table, column in _COLUMNS:
            if (table, column) not in there:
                continue
            for before, after in ((str(old), str(new)), (old.as_uri(), new.as_uri())):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - fixed names
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
                )


def move_pointers(state: Path, new: Path) -> None:
    """Have the pointers of a state folder name the bundles that lie in it, as of when it lies at another place."""
    pointers = PointerFolder(state)
    for file in (pointers.pointer, pointers.served, *pointers.followed.glob("*.json")):
        pointer = read_pointer(file)
        if pointer is not None and pointer.digest and (state / BUNDLES / pointer.digest).is_dir():
            write_pointer(file, msgspec.structs.replace(pointer, path=str(new / BUNDLES / pointer.digest)))


def move_settings(file: Path, places: Kept) -> None:
    """Have settings name the places of parts that did not lie below the working directory; comments are lost then."""
    if not places.moved:
        return
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8")) or {} if file.exists() else {}
    named = {
        "state": ("serving", "state", places.state),
        "logs": ("logs", "store", places.logs),
        "quarantine": ("logs", "quarantine", places.quarantine),
        "learning": ("learning", "state", places.learning),
        "database": ("tracking", "uri", f"sqlite:///{places.database}"),
        "artifacts": ("tracking", "artifacts", places.artifacts),
        "router": ("serving", "router", places.router),
    }
    for part in places.moved:
        section, name, value = named[part]
        content.setdefault(section, {})
        content[section][name] = value
    file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
