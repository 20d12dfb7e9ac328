"""From an address in the registry to a verified bundle folder on this machine.

``python -m beast_ml.registry.resolve models:/beast-router@champion`` prints the folder as JSON; the store is that of
``MLFLOW_TRACKING_URI``. Serving runs that
form in a child process (see `beast_ml.registry.resolve_child`), because mlflow stays out of the serving process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from beast_ml.bundle.manifest import verify
from beast_ml.errors import BeastError, BundleError, BundleIntegrityError, RegistryError
from beast_ml.registry.bundle_cache import mark_asked
from beast_ml.registry.config import CHAMPION, ROUTER, TrackingConfig, default_cache_dir
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.environment import TRACKING_URI
from beast_ml.registry.model_uri import ModelUri
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.resolve_child import EXIT_CODES, ResolvedBundle

__all__ = [
    "BUNDLE_FOLDER",
    "DIGEST_TAG",
    "ResolvedBundle",
    "aliased_digests",
    "main",
    "resolve",
    "resolve_version",
    "resolve_with",
]

BUNDLE_FOLDER: Final = "artifacts/bundle"
"""Where a router version keeps its bundle, within the files of the model."""

DIGEST_TAG: Final = "bundle_digest"
"""Tag of a router version with the digest of its bundle's manifest."""


def resolve(uri: str, config: TrackingConfig, cache_dir: Path | None = None) -> Path:
    """Return the folder in the cache that holds the bundle an address points at, downloading it if need be.

    The cache has one folder per digest. A folder appears there whole and verified or not at all, and is verified
    again on each call; one that was tampered with is replaced.

    Raises
    ------
    InputError
        If the address is malformed.
    RegistryError
        If the registry does not hold such a router.
    RegistryUnavailableError
        If the registry does not answer.
    BundleIntegrityError
        If what it holds does not match its manifest.
    """
    return resolve_version(uri, config, cache_dir).path


def resolve_version(uri: str, config: TrackingConfig, cache_dir: Path | None = None) -> ResolvedBundle:
    """Return what `resolve` does, with the version and the digest; it raises the same."""
    address = ModelUri.parse(uri)
    return resolve_with(connect(config), address, config, cache_dir)


def resolve_with(client: Any, address: ModelUri, config: TrackingConfig, cache_dir: Path | None) -> ResolvedBundle:
    """Return what `resolve_version` does, asking a client that is connected; it raises the same."""
    version = _model_version(client, config, address)
    digest = version.tags.get(DIGEST_TAG)
    if not digest:
        raise RegistryError(f"{address} is not a router bundle: it has no `{DIGEST_TAG}` tag")
    folder = (cache_dir or default_cache_dir()).absolute() / digest
    mark_asked(folder)
    if not _is_intact(folder, digest):
        _download(client, config, version, folder, digest)
    return ResolvedBundle(folder, int(version.version), digest)


def aliased_digests(client: Any, name: str, config: TrackingConfig) -> set[str]:
    """Return the digests of the bundles that the aliases of a registered router point at.

    Raises
    ------
    RegistryError
        If there is no such router, or the registry does not answer.
    """
    with translated(config):
        versions = set(client.get_registered_model(name).aliases.values())
        found = [client.get_model_version(name, str(version)) for version in versions]
    return {version.tags[DIGEST_TAG] for version in found if DIGEST_TAG in version.tags}


def main(arguments: list[str] | None = None) -> int:
    """Resolve an address named on the command line, print JSON, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m beast_ml.registry.resolve", description=main.__doc__)
    parser.add_argument("uri", help=f"for example models:/{ROUTER}@{CHAMPION}")
    parser.add_argument("--cache-dir", type=Path, default=None)
    options = parser.parse_args(arguments)
    answer: dict[str, object]
    try:
        found = resolve_version(
            options.uri, TrackingConfig(os.environ.get(TRACKING_URI, TrackingConfig.uri)), options.cache_dir
        )
    except BeastError as error:
        code = next(code for code, kind in EXIT_CODES.items() if isinstance(error, kind))
        answer = {"error": type(error).__name__, "message": str(error)}
    else:
        code = 0
        answer = {"path": str(found.path), "version": found.version, "digest": found.digest}
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def _model_version(client: Any, config: TrackingConfig, address: ModelUri) -> Any:
    try:
        with translated(config):
            if address.alias is not None:
                return client.get_model_version_by_alias(address.name, address.alias)
            return client.get_model_version(address.name, str(address.version))
    except RegistryError as error:
        if not _is_absence(error):
            raise
        advice = f"`beast promote` sets {CHAMPION!r}" if address.alias == CHAMPION else "look in `beast ui`"
        raise RegistryError(f"the registry at {config.shown} holds no {address}: {advice}") from error


def _is_absence(error: RegistryError) -> bool:
    code = getattr(error.__cause__, "error_code", "")
    # a missing alias is reported as an invalid parameter, a missing model or version as a missing resource
    return code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}


def _is_intact(folder: Path, digest: str) -> bool:
    if not folder.is_dir():
        return False
    try:
        return bool(verify(folder).digest == digest)
    except BundleError:
        return False


def _download(client: Any, config: TrackingConfig, version: Any, folder: Path, digest: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".incoming-") as scratch:
        with translated(config):
            location = client.get_model_version_download_uri(version.name, str(version.version))
            downloaded = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{location.rstrip('/')}/{BUNDLE_FOLDER}", dst_path=scratch, tracking_uri=config.uri
            )
        bundle = Path(downloaded)
        got = verify(bundle).digest
        if got != digest:
            raise BundleIntegrityError(
                f"{version.name} version {version.version} holds a bundle with digest {got}, but was registered with "
                f"{digest}: its files were replaced; register the bundle again"
            )
        if folder.exists() and not _is_intact(folder, digest):
            folder.rename(Path(scratch) / "damaged")  # leaves with the scratch folder
        try:
            bundle.rename(folder)
        except OSError:
            if not _is_intact(folder, digest):  # otherwise another process was quicker, with the same bundle
                raise


if __name__ == "__main__":
    sys.exit(main())
