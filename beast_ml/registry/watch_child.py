"""How the registry's watcher is started, by processes that never import mlflow."""

from __future__ import annotations

from pathlib import Path

from beast_ml.registry.bundle_pointer import PointerFolder
from beast_ml.registry.config import TrackingConfig, default_cache_dir
from beast_ml.registry.environment import TRACKING_URI
from beast_ml.registry.model_uri import ModelUri

__all__ = ["watch_arguments", "watch_environment"]


def watch_arguments(uri: str, state: Path, *, poll_s: float = 5.0, cache: Path | None = None) -> tuple[str, ...]:
    """Return the interpreter's arguments of a watcher that keeps the pointers in a state folder.

    It ends when its standard input does, so whoever starts it hands it a pipe, and `watch_environment`.

    Raises
    ------
    InputError
        If the address is malformed.
    """
    files = PointerFolder(state.absolute())
    return (
        *("-m", "beast_ml.registry.watch", str(ModelUri.parse(uri))),
        *("--cache-dir", str((cache or default_cache_dir()).absolute())),
        *("--pointer", str(files.pointer), "--followed", str(files.followed), "--reload", str(files.reload)),
        *("--poll", f"{poll_s:g}"),
    )


def watch_environment(tracking_uri: str) -> dict[str, str]:
    """Return the variables, beside those of this process, that tell a watcher where the store is.

    Raises
    ------
    SettingsError
        If the address is malformed.
    """
    return {TRACKING_URI: TrackingConfig(tracking_uri).uri}
