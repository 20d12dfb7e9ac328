"""A backup of a deployment that may go on serving meanwhile."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.durable import write_durably
from beast_ml.errors import InputError, RegistryError, UnavailableError
from beast_ml.logs.late_tables import LATE_SCHEMAS
from beast_ml.logs.segments import OPEN_SUFFIX, SEALED_SUFFIX, sealed_segments, sync_folder
from beast_ml.logs.store_files import stored_days
from beast_ml.logs.store_parts import LOCK, current_parts, lock
from beast_ml.operations.backup.copying import Incoming
from beast_ml.operations.backup.folder import INCOMING, backups_in, locked, prune
from beast_ml.operations.backup.manifest import MANIFEST, Manifest, name_of, read_manifest
from beast_ml.operations.backup.places import BUNDLES, Places
from beast_ml.registry.bundle_pointer import PointerFolder, read_pointer

__all__ = ["ALIASES", "BackupSummary", "known_folders", "take_backup"]

ALIASES: Final = "aliases.json"
"""Beside the bundles of a registry's server: which alias points at which."""

_KNOWN: Final = "backups.json"
_DATABASES: Final = ("state.db", "cache.db")
_OF_THE_RUN: Final = {
    "metrics": "of the running workers",
    "locks": "of the running workers",
    "budgets": "workers' journals: after a restore what they had leased counts as spent",
    "near.index": "made anew from the cache's entries",
}


@dataclass(frozen=True)
class BackupSummary:
    """What a backup holds.

    Parameters
    ----------
    folder
        The backup.
    made_at
        When its copying began.
    n_files, n_bytes
        Of it.
    n_linked
        Files that an earlier backup beside it holds, too, and that take no room.
    left_out
        What is not in it -> why.
    pruned
        Names of older backups that were deleted.
    """

    folder: Path
    made_at: datetime
    n_files: int
    n_bytes: int
    n_linked: int
    left_out: dict[str, str]
    pruned: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self) | {"folder": str(self.folder), "made_at": self.made_at.isoformat()}


def take_backup(places: Places, parent: Path, *, keep: int | None = None, clock: Clock | None = None) -> BackupSummary:
    """Copy a deployment into a new folder of backups, which is there whole or not at all.

    The ledger comes before the log, so that whatever the ledger does not know is in the log. Compaction waits while
    the log is copied; nothing else does.

    Parameters
    ----------
    places
        Of the deployment, whose working directory is the process's own.
    parent
        Where backups lie beside each other; outside of what is backed up.
    keep
        How many of them stay; None: all.
    clock
        What time it is.

    Raises
    ------
    InputError
        If the folder is within what is backed up, or there is nothing to back up.
    UnavailableError
        If another backup into the folder is at work, or a database does not answer.
    """
    _check(places, parent)
    with locked(parent):
        made_at = (clock or SystemClock()).now()
        earlier = next(reversed(backups_in(parent)), None)
        name = name_of(made_at)
        incoming = Incoming(parent / f"{INCOMING}{name}", earlier, None if earlier is None else read_manifest(earlier))
        incoming.folder.mkdir(mode=0o700)
        manifest = _filled(places, incoming, made_at)
        incoming.write(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        incoming.sync()
        incoming.folder.rename(parent / name)
        sync_folder(parent)
        _remember(places.state, parent)
        pruned = () if keep is None else tuple(prune(parent, keep))
    return BackupSummary(
        parent / name, made_at, len(manifest.files), manifest.n_bytes, incoming.n_linked, manifest.left_out, pruned
    )


def known_folders(state: Path) -> list[Path]:
    """Return the folders that backups of a state folder were put into."""
    try:
        return [Path(each) for each in json.loads((state / _KNOWN).read_bytes())]
    except FileNotFoundError:
        return []


def _check(places: Places, parent: Path) -> None:
    for inner in (places.state, places.logs, places.quarantine, places.learning, places.tracking.artifacts):
        if parent.resolve().is_relative_to(inner.resolve()):
            raise InputError(
                f"{parent} lies within {inner}, which is backed up: name a folder elsewhere, best on another disk"
            )
    database = places.tracking.database
    if not any(each.exists() for each in (places.state, places.logs, *([database] if database else []))):
        raise InputError(
            f"there is nothing to back up: neither {places.state} nor {places.logs} is there; run this in the "
            "directory of mlflow.yaml"
        )


def _filled(places: Places, incoming: Incoming, made_at: datetime) -> Manifest:
    left_out = {f"{places.state}/{name}": why for name, why in _OF_THE_RUN.items() if (places.state / name).exists()}
    for name in _DATABASES:
        if (places.state / name).is_file():
            incoming.copy_sqlite(places.state / name, f"state/{name}")
    tables, shown = {}, None
    if places.database_url is not None:
        from beast_ml.operations.backup import shared_tables

        shown = shared_tables.shown(places.database_url)
        tables = shared_tables.dump_tables(places.database_url, incoming)
        left_out["cache_vectors"] = (
            "embeddings in PostgreSQL: entries get theirs when they are asked for and kept again"
        )
    if places.redis_url is not None:
        left_out["Valkey"] = "what it holds is of the moment" + (
            "" if places.database_url else ", but for the budgets: let it write to its disk, and back that up"
        )
    leave = (*_OF_THE_RUN, "segments", "reload", _KNOWN, "*.db", "*-wal", "*-shm", "*-journal", "*-lock")
    incoming.copy_tree(places.state, "state", leave)
    _copy_log(places, incoming)
    incoming.copy_tree(places.learning, "learning")
    _copy_registry(places, incoming, left_out)
    if places.router is not None:
        incoming.copy_tree(places.router, "router")
    if places.settings is not None:
        incoming.copy(places.settings, "mlflow.yaml")
    return Manifest(
        made_at=made_at,
        places=places.kept(Path.cwd()),
        artifacts=str(places.tracking.artifacts),
        files=dict(incoming.files),
        tables=tables,
        database_url_shown=shown,
        left_out=left_out,
    ).signed()


def _copy_log(places: Places, incoming: Incoming) -> None:
    segments = places.state / "segments"
    with ExitStack() as held:
        for folder in (segments, places.logs):
            if folder.is_dir():
                held.enter_context(lock(folder / LOCK, wait=True))
        # What is open first: one that is sealed between the two looks is found by the first.
        being_written = sorted(segments.glob(f"*{OPEN_SUFFIX}"))
        seen = {file.name.removesuffix(OPEN_SUFFIX) for file in being_written}
        sealed = [file for file in sealed_segments(segments) if file.name.removesuffix(SEALED_SUFFIX) not in seen]
        for file in [*sealed, *being_written]:
            incoming.copy_segment(file, "segments")
        folders = [f"day={day}" for day in stored_days(places.logs)] + list(LATE_SCHEMAS)
        for name in folders:
            for file in current_parts(places.logs / name):
                incoming.copy(file, f"logs/{name}/{file.name}")
        incoming.copy_tree(places.quarantine, "quarantine")


def _copy_registry(places: Places, incoming: Incoming, left_out: dict[str, str]) -> None:
    """Copy a SQLite registry, or the bundles that a server has aliases for; and those that the state points at."""
    tracking = places.tracking
    bundles = {}
    if tracking.database is None:
        from beast_ml.registry.registered_bundles import aliased_bundles  # MLflow takes seconds to import

        try:
            aliased = aliased_bundles(tracking)
        except (RegistryError, UnavailableError) as error:
            left_out[tracking.shown] = f"the registry did not tell its routers: {error}"
        else:
            left_out[tracking.shown] = "runs and models of a server, but for the routers that have an alias"
            bundles = {found.digest: found.path for found in aliased.values()}
            said = {alias: {"version": found.version, "digest": found.digest} for alias, found in aliased.items()}
            incoming.write(f"{BUNDLES}/{ALIASES}", json.dumps(said, indent=2).encode())
    elif tracking.database.is_file():
        incoming.copy_sqlite(tracking.database, "registry/mlflow.db")  # first: what it names is there
        incoming.copy_tree(tracking.artifacts, "registry/artifacts")
    pointers = PointerFolder(places.state)
    for file in (pointers.pointer, pointers.served, *sorted(pointers.followed.glob("*.json"))):
        pointer = read_pointer(file)
        if pointer is not None and pointer.digest and pointer.path and Path(pointer.path).is_dir():
            bundles[pointer.digest] = Path(pointer.path)
    for digest, folder in bundles.items():
        incoming.copy_tree(folder, f"{BUNDLES}/{digest}")


def _remember(state: Path, parent: Path) -> None:
    """Take note of where backups lie, so that whoever forgets somebody's texts knows where else they are."""
    if state.is_dir():
        known = [*known_folders(state), parent.absolute()]
        write_durably(state / _KNOWN, json.dumps(sorted({os.fspath(each) for each in known})).encode())
