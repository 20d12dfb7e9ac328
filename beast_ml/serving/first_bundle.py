"""The first router of a worker: from a folder, from the last good bundle on this machine, or from the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from beast_ml.bundle.manifest import verify
from beast_ml.domain import Price
from beast_ml.errors import BundleError, InputError
from beast_ml.events import events
from beast_ml.file_lock import file_lock
from beast_ml.registry.bundle_cache import remember_state
from beast_ml.registry.bundle_pointer import BundlePointer, PointerFolder, read_pointer, write_pointer
from beast_ml.registry.config import TrackingConfig, default_cache_dir
from beast_ml.registry.resolve_child import resolve_bundle_in_child
from beast_ml.serving.refusals import Refusals
from beast_ml.serving.router import Router
from beast_ml.serving.swap import load_router

__all__ = ["from_folder", "from_registry", "pointer_to_folder"]


def from_folder(folder: Path, prices: Mapping[str, Price] | None) -> tuple[Router, BundlePointer]:
    """Return the router in a folder, and where it came from.

    Raises
    ------
    InputError
        If there is no such folder.
    BundleError
        If the bundle in it cannot be read or is not what its manifest says.
    """
    if not folder.is_dir():
        raise InputError(f"no bundle folder {folder}: name a folder, or a registry address such as models:/...")
    began = datetime.now(UTC)
    router = load_router(folder, None, prices)
    return router, BundlePointer(str(folder), str(folder), None, router.version, began, began, began)


def pointer_to_folder(folder: Path, began: datetime) -> BundlePointer:
    """Return what a folder holds now, or what is wrong with it."""
    try:
        digest = verify(folder).digest
    except BundleError as error:
        return BundlePointer(str(folder), str(folder), tried_at=began, error=str(error))
    return BundlePointer(str(folder), str(folder), None, digest, began, began, began)


def from_registry(
    uri: str, files: PointerFolder, config: TrackingConfig, cache: Path | None, prices: Mapping[str, Price] | None
) -> tuple[Router, BundlePointer]:
    """Return the last good router of an address on this machine, and where it came from; else ask the registry.

    Raises
    ------
    BundleError
        If what the registry holds cannot be read or is not what its manifest says.
    RegistryError
        If it holds none; `RegistryUnavailableError` if it does not answer.
    """
    cache = cache or default_cache_dir()
    remember_state(cache, files.state)
    found = _from_disk(uri, files, prices)
    if found is not None:
        return found
    files.lock.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(files.lock):
        found = _from_disk(uri, files, prices)  # another worker was quicker
        if found is not None:
            return found
        began = datetime.now(UTC)
        resolved = resolve_bundle_in_child(uri, config, cache)
        pointer = BundlePointer(
            uri, str(resolved.path), resolved.version, resolved.digest, began, datetime.now(UTC), began
        )
        write_pointer(files.pointer, pointer)
    return load_router(resolved.path, resolved.digest, prices), pointer


def _from_disk(
    uri: str, files: PointerFolder, prices: Mapping[str, Price] | None
) -> tuple[Router, BundlePointer] | None:
    """Return the last good bundle on this machine: rather one that was not refused."""
    pointers = [read_pointer(file) for file in (files.pointer, files.served)]
    known = [pointer for pointer in pointers if pointer is not None and pointer.uri == uri and pointer.path]
    refusals = Refusals(files.refused)
    known.sort(key=lambda pointer: refusals.get(pointer.digest or "") is not None)
    for pointer in known:
        try:
            return load_router(Path(pointer.path or ""), pointer.digest, prices), pointer
        except BundleError as error:
            events.error("runtime.last_good_is_damaged", path=pointer.path, error=str(error))
    return None
