"""A trained cache as a folder: encoder, gate, known vectors, verifier and curves, and the hash of every file."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.artefact_files import CACHE_MANIFEST, CURVES_FILE, VERIFIER_FOLDER, is_cache_file
from beast_ml.cache.embedding.gate import GateBound, GateEncoder
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder, write_onnx_encoder
from beast_ml.cache.known_vectors import TrainedVectors
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.errors import BundleError, BundleIntegrityError, EncoderError
from beast_ml.features.encoder import StaticEncoder, Vectors
from beast_ml.version import __version__

__all__ = [
    "CacheManifest",
    "CacheParts",
    "load_verifier",
    "open_cache",
    "verify_cache",
    "write_cache",
]

_FORMAT: Final = 1


class CacheManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a trained cache says of itself.

    Parameters
    ----------
    format_version
        Raised when the layout changes.
    files
        sha256 of every file, by relative path.
    encoder_hash, gate_hash, verifier_hash
        Which encoder, which gate, and which verifier, if there is one.
    gate
        Where the gate closes, and on what evidence; None: it never does, for there were no labelled pairs.
    n_known
        Texts whose vectors are known.
    training_digest
        sha256 of what it was trained on.
    headline
        The figures one would quote.
    beast_version
        Who wrote it.
    """

    format_version: int
    files: dict[str, str]
    encoder_hash: str
    gate_hash: str
    gate: GateBound | None
    n_known: int
    training_digest: str
    beast_version: str
    verifier_hash: str | None = None
    headline: dict[str, float] = {}

    @property
    def digest(self) -> str:
        """sha256 of ``manifest.json``, which stands for the whole folder."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def encoded(self) -> bytes:
        """Return the bytes of ``manifest.json``."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"


@dataclass(frozen=True)
class CacheParts:
    """A trained cache, loaded: what the process of the host works with.

    Parameters
    ----------
    manifest
        What it was made of.
    encoder
        MiniLM.
    gate
        The static vectors that spare it most misses.
    known
        Vectors of prompts that are known beforehand.
    """

    manifest: CacheManifest
    encoder: OnnxEncoder
    gate: GateEncoder
    known: TrainedVectors

    @property
    def bound(self) -> float:
        """Static similarity below which the gate closes; -1: never."""
        return -1.0 if self.manifest.gate is None else self.manifest.gate.similarity

    def similarities(self, pairs: NDArray[np.str_]) -> Vectors:
        """Return (n, 2) float32 of (n, 2) texts: the cosines of their MiniLM vectors, and of their gate vectors."""
        columns = [[str(text) for text in column] for column in pairs.T]
        both = [[each.encode(texts) for texts in columns] for each in (self.encoder, self.gate)]
        return np.stack([np.einsum("ij,ij->i", a, b) for a, b in both], axis=1).astype(np.float32)


def write_cache(
    folder: Path,
    *,
    minilm: Path,
    gate: GateEncoder,
    bound: GateBound | None,
    known: TrainedVectors,
    training_digest: str,
    verifier: TrainedVerifier | None = None,
    curves: Mapping[str, Any] | None = None,
    headline: Mapping[str, float] | None = None,
) -> CacheManifest:
    """Write a trained cache into a new folder, aside first, and return its manifest.

    Parameters
    ----------
    folder
        Must not exist, or be empty.
    minilm
        Folder of MiniLM's weights.
    gate, bound, known, verifier
        What was trained.
    training_digest
        sha256 of what it was trained on.
    curves
        Figures by bound or threshold, as JSON, for plots.
    headline
        The figures one would quote.

    Raises
    ------
    BundleError
        If the folder is not empty, or the verifier was trained with another encoder.
    EncoderError
        If MiniLM's weights are not what they should be.
    """
    if not isinstance(gate.static, StaticEncoder):
        raise BundleError(f"the gate is of the {gate.static.name} encoder, must be of a static table")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} exists and is not empty: trained caches are immutable, name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".cache-"))
    try:
        gate.static.save(staging)
        encoder_hash = write_onnx_encoder(minilm, staging)
        if StaticEncoder.load(staging).hash != gate.static.hash:
            raise BundleError("the static table is of another tokenizer than MiniLM's: distil it from these weights")
        gate.save(staging)
        known.save(staging)
        if verifier is not None:
            if verifier.vectors != encoder_hash:
                raise BundleError("the verifier was trained with another encoder: train it on this one's vectors")
            verifier.save(staging / VERIFIER_FOLDER)
        (staging / CURVES_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(curves or {})) + b"\n")
        names = sorted(str(path.relative_to(staging).as_posix()) for path in staging.rglob("*") if path.is_file())
        manifest = CacheManifest(
            format_version=_FORMAT,
            files={name: _sha256(staging / name) for name in names},
            encoder_hash=encoder_hash,
            gate_hash=gate.hash,
            gate=bound,
            n_known=len(known),
            training_digest=training_digest,
            beast_version=__version__,
            verifier_hash=None if verifier is None else verifier.hash,
            headline=dict(headline or {}),
        )
        (staging / CACHE_MANIFEST).write_bytes(manifest.encoded())
        staging.chmod(0o755)
        try:
            staging.replace(folder)
        except OSError as error:
            raise BundleError(f"cannot move the trained cache to {folder}: {error}; name a new folder") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def verify_cache(folder: Path) -> CacheManifest:
    """Read the manifest of a trained cache and check every file against it.

    Raises
    ------
    BundleError
        If there is no readable manifest, or it is of a format this version does not know.
    BundleIntegrityError
        If a file is missing, changed, or not named in the manifest.
    """
    manifest = _read_manifest(folder)
    present = {str(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file()}
    for name in sorted(present - {CACHE_MANIFEST} | manifest.files.keys()):
        if not is_cache_file(name):
            raise BundleIntegrityError(f"{folder / name} is no part of a trained cache; refusing all of it")
        if name not in present or name not in manifest.files:
            raise BundleIntegrityError(f"{folder / name} is missing, or not in the manifest: build the cache again")
        if _sha256(folder / name) != manifest.files[name]:
            raise BundleIntegrityError(f"{folder / name} is not what the manifest says: build the cache again")
    return manifest


def open_cache(folder: Path, threads: int = 1) -> CacheParts:
    """Verify and load a trained cache.

    Raises
    ------
    BundleError
        If it cannot be read; `BundleIntegrityError` if its content is not what its manifest says.
    MissingExtraError
        If onnxruntime is not installed.
    """
    manifest = verify_cache(folder)
    try:
        parts = CacheParts(
            manifest, OnnxEncoder.load(folder, threads), GateEncoder.load(folder), TrainedVectors.load(folder)
        )
    except EncoderError as error:
        raise BundleError(f"{error}; build the cache again") from error
    if (parts.encoder.hash, parts.gate.hash) != (manifest.encoder_hash, manifest.gate_hash):
        raise BundleIntegrityError(f"the encoder or the gate in {folder} are not those it was trained with")
    return parts


def load_verifier(folder: Path) -> TrainedVerifier | None:
    """Load the verifier of a trained cache, and nothing that needs onnxruntime; None if it has none.

    Raises
    ------
    BundleError
        If there is no readable manifest, or the static table cannot be read.
    BundleIntegrityError
        If the verifier is damaged, or not the one that the manifest names.
    """
    manifest = _read_manifest(folder)
    if manifest.verifier_hash is None:
        return None
    try:
        static = StaticEncoder.load(folder)
    except EncoderError as error:
        raise BundleError(f"{error}; build the cache again") from error
    verifier = TrainedVerifier.load(folder / VERIFIER_FOLDER, static)
    if (verifier.hash, verifier.vectors) != (manifest.verifier_hash, manifest.encoder_hash):
        raise BundleIntegrityError(f"the verifier in {folder} is not the one it was trained with")
    return verifier


def _read_manifest(folder: Path) -> CacheManifest:
    path = folder / CACHE_MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=CacheManifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"no trained cache in {folder}: {error}") from error
    if manifest.format_version != _FORMAT:
        raise BundleError(f"{path} has format version {manifest.format_version}, this beast-ml reads {_FORMAT}")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
