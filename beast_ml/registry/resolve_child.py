"""`resolve` in a child process, so that the caller never imports mlflow (1.5 s and 170 MB)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beast_ml.errors import (
    BeastError,
    BundleError,
    BundleIntegrityError,
    InputError,
    RegistryError,
    RegistryUnavailableError,
)
from beast_ml.registry.config import TrackingConfig, default_cache_dir
from beast_ml.registry.environment import TRACKING_URI
from beast_ml.registry.model_uri import ModelUri

__all__ = ["EXIT_CODES", "ResolvedBundle", "resolve_bundle_in_child", "resolve_in_child"]

EXIT_CODES: Final[dict[int, type[BeastError]]] = {
    2: InputError,
    4: RegistryUnavailableError,  # before its parent class: the first that fits is taken
    3: RegistryError,
    5: BundleIntegrityError,
    6: BundleError,
    1: BeastError,
}
"""What the child's exit code says went wrong; 0 means that it printed a folder."""


@dataclass(frozen=True)
class ResolvedBundle:
    """A verified bundle in the cache, and the version of the router it is.

    Parameters
    ----------
    path
        Its folder on this host.
    digest
        Of its manifest.
    """

    path: Path
    version: int
    digest: str


def resolve_in_child(
    uri: str, config: TrackingConfig | None = None, cache_dir: Path | None = None, *, timeout_s: float = 120.0
) -> Path:
    """Return the folder of `resolve_bundle_in_child`, which raises the same."""
    return resolve_bundle_in_child(uri, config, cache_dir, timeout_s=timeout_s).path


def resolve_bundle_in_child(
    uri: str, config: TrackingConfig | None = None, cache_dir: Path | None = None, *, timeout_s: float = 120.0
) -> ResolvedBundle:
    """Return what `beast_ml.registry.resolve.resolve_version` returns, computed in a child process.

    Without a configuration the store is the default one, ``mlflow.db`` in the working directory.

    Raises
    ------
    InputError
        If the address is malformed.
    RegistryError
        If the registry does not hold such a router, or the child broke.
    RegistryUnavailableError
        If the registry does not answer, or the child did not end within ``timeout_s`` seconds.
    BundleError
        If what it holds is no bundle that this version can read; `BundleIntegrityError` if it does not match its
        manifest.
    """
    ModelUri.parse(uri)  # a malformed address needs no child
    config = config or TrackingConfig()
    cache_dir = cache_dir or default_cache_dir()
    command = [sys.executable, "-m", "beast_ml.registry.resolve", uri]
    command += ["--cache-dir", str(cache_dir.absolute())]
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, TRACKING_URI: config.uri},
        )
    except subprocess.TimeoutExpired as error:
        raise RegistryUnavailableError(
            f"resolving {uri} at {config.shown} took longer than {timeout_s:g} s: check the network, or allow more time"
        ) from error
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
        if child.returncode == 0:
            return ResolvedBundle(Path(answer["path"]), int(answer["version"]), str(answer["digest"]))
        message = str(answer["message"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        last_words = child.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        raise RegistryError(
            f"resolving {uri} failed: the child process ended with code {child.returncode} ({last_words[0]})"
        ) from error
    raise EXIT_CODES.get(child.returncode, RegistryError)(message)
