"""The manifest of a router bundle: what is in it, and the hash of every file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from beast_ml.cache.artefact_files import is_cache_file
from beast_ml.domain import CandidateModel
from beast_ml.errors import BundleError, BundleIntegrityError

__all__ = ["CACHE_FOLDER", "FORMAT_VERSION", "MANIFEST", "Manifest", "file_sha256", "verify"]

FORMAT_VERSION: Final = 3
"""Of the folder; another one is refused."""

MANIFEST: Final = "manifest.json"
"""Name of its file in a bundle."""

CACHE_FOLDER: Final = "cache"
"""Where a bundle keeps the trained cache that goes with it, if there is one; see `beast_ml.cache.artefact`."""

_ALLOWED: Final = frozenset(
    {
        "encoder/table.safetensors",
        "encoder/tokenizer.json",
        "features.json",
        "history.json",
        "heads.npz",
        "calibration.json",
        "policy.json",
    }
)


_SEAL: Final = "sha256"
"""The key, beside the fields of `Manifest`, that holds the sha256 of all of them."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of itself; its file carries a sha256 of itself too, so that damage to it is seen.

    Parameters
    ----------
    format_version
        Raised when the layout changes; a reader refuses a version it does not know.
    kind
        ``router``, or ``single`` for a bundle that always answers with one model.
    files
        sha256 of every file, by relative path.
    encoder, encoder_hash, feature_hash
        Which encoder, and which features.
    candidates
        The pool, with prices and who says so, where costs are price x predicted tokens.
    price_version
        Stands for all of these prices and their sources: equal just where they are; empty where there are none.
    training_digest
        sha256 of the training outcomes.
    n_training_queries
        How many queries it was trained on.
    headline
        The metrics one would quote, from test queries.
    run_ids
        MLflow runs it came from, by role.
    beast_version
        The version of beast-ml that wrote it.
    """

    format_version: int
    kind: Literal["router", "single"]
    files: dict[str, str]
    encoder: str
    encoder_hash: str
    feature_hash: str
    candidates: tuple[CandidateModel, ...]
    training_digest: str
    n_training_queries: int
    beast_version: str
    price_version: str = ""
    headline: dict[str, float] = {}
    run_ids: dict[str, str] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the candidates, sorted."""
        return tuple(candidate.name for candidate in self.candidates)

    @property
    def has_cache(self) -> bool:
        """Whether a trained cache is in the bundle's folder ``cache``."""
        return any(name.startswith(f"{CACHE_FOLDER}/") for name in self.files)

    @property
    def digest(self) -> str:
        """sha256 of ``manifest.json``, which stands for the whole bundle."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def encoded(self) -> bytes:
        """Return the bytes of ``manifest.json``."""
        return _sealed(msgspec.to_builtins(self))


def _sealed(fields: dict[str, Any]) -> bytes:
    """Return the one way to write these fields with their own sha256 beside them."""
    sealed = fields | {_SEAL: hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()}
    return msgspec.json.format(msgspec.json.encode(sealed, order="sorted"), indent=2) + b"\n"


def _is_allowed(name: str) -> bool:
    folder, _, within = name.partition("/")
    return name in _ALLOWED or (folder == CACHE_FOLDER and is_cache_file(within))


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path) -> Manifest:
    """Read a bundle's manifest and check every file against it.

    Raises
    ------
    BundleError
        If there is no readable manifest, or it is of a format this version does not know.
    BundleIntegrityError
        If a file is missing, changed, or not named in the manifest.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"no router bundle in {folder}: {error.strerror or error}") from error
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
        fields.pop(_SEAL, None)
        if raw != _sealed(fields):
            raise BundleIntegrityError(f"{path} is not as it was written: fetch the bundle again, or retrain")
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{path} has format version {version!r}, this beast-ml reads {FORMAT_VERSION}: "
                "retrain, or install the version that wrote it"
            )
        manifest = msgspec.convert(fields, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BundleIntegrityError(f"{path} is damaged: {error}; fetch the bundle again") from error
    unknown = sorted(name for name in manifest.files if not _is_allowed(name))
    if unknown:
        raise BundleIntegrityError(f"{path} names {unknown[0]!r}, which is no part of a bundle; refusing all of it")
    present = {str(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file()} - {MANIFEST}
    extra = sorted(present - set(manifest.files))
    if extra:
        raise BundleIntegrityError(f"{folder / extra[0]} is not in the manifest; refusing the bundle")
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise BundleIntegrityError(f"{file} is missing; fetch the bundle again")
        found = file_sha256(file)
        if found != expected:
            raise BundleIntegrityError(f"{file} has sha256 {found}, the manifest says {expected}; fetch it again")
    return manifest
