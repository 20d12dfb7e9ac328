"""Register a router and its parts, all or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.manifest import Manifest, verify
from beast_ml.bundle.parts import PARTS, PartName, read_part, write_part
from beast_ml.errors import BeastError, InputError
from beast_ml.registry.config import ROUTER
from beast_ml.registry.connection import translated
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.names import ABOUT, registered_name
from beast_ml.registry.pyfuncs import PART_SCRIPT, ROUTER_SCRIPT, LoggedModel, log_pyfunc
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.resolve import BUNDLE_FOLDER, DIGEST_TAG
from beast_ml.registry.tracking import TrainingRun

__all__ = [
    "EVIDENCE_TAG",
    "EXAMPLE_PROMPTS",
    "KIND_TAG",
    "VERDICT_TAG",
    "RegisteredRouter",
    "add_router_version",
    "add_version",
    "register_router",
]

EVIDENCE_TAG: Final = "evidence"
"""Version tag with the evidence that gates read."""

_ENCODER_HASH_TAG: Final = "encoder_hash"
KIND_TAG: Final = "kind"
"""Version tag: a router, or a single model."""

VERDICT_TAG: Final = "verdict"
"""Version tag with the verdict."""

EXAMPLE_PROMPTS: Final = np.array(["What is the capital of France?", "Write a function that reverses a string."])
"""Input example of a registered router."""

_NOT_JUDGED: Final = "not judged yet: run `beast promote`"


@dataclass(frozen=True)
class RegisteredRouter:
    """A router that is in the registry.

    Parameters
    ----------
    version
        Its version of ``beast-router``.
    uri
        The address that `resolve` and `Router.load` take.
    parts
        Version of each part it is made of, by registered name.
    """

    version: int
    uri: str
    parts: dict[str, int]


def register_router(
    run: TrainingRun, bundle_folder: Path, evidence: Evidence, cards: Mapping[str, str], features: NDArray[np.float32]
) -> RegisteredRouter:
    """Register a bundle and its parts as loadable models, and return the versions.

    All files are uploaded before the first version is made, and the router's version, which names the others, is
    made last. When something fails, the versions made so far are removed, so no half-registered router is left.
    The evidence goes to the run as metrics and to the router's version, where the promotion gates read it.

    Parameters
    ----------
    run
        The training's parent run.
    bundle_folder
        The bundle; it is verified, and left as it is.
    evidence
        What was measured on the test queries.
    cards
        Model cards in Markdown, by part: ``router``, ``encoder``, ``quality``, and ``cost`` and ``latency`` where the
        bundle predicts them. What has a card is registered.
    features
        A few feature rows, (n, d), to try the predictors on and to store as their input example.

    Raises
    ------
    InputError
        If a card is missing or of an unknown part.
    BundleIntegrityError
        If the bundle does not match its manifest.
    RegistryError
        If the registry refuses.
    RegistryUnavailableError
        If it does not answer.
    """
    _check_cards(cards)
    manifest = verify(bundle_folder)
    run.metrics(evidence.metrics())
    run.text(evidence.to_json(), "evidence.json")
    for part, card in cards.items():
        run.text(card, f"cards/{part}.md")
    known_encoder = _encoder_version(run, manifest)
    logged = {
        part: _log_part(run, bundle_folder, part, cards[part], manifest, features)
        for part in PARTS
        if part in cards and not (part == "encoder" and known_encoder)
    }
    router_model = _log_router(run, bundle_folder, cards["router"], manifest)

    made: list[tuple[str, int]] = []
    try:
        for part, model in logged.items():
            name = registered_name(part)
            made.append((name, add_version(run, name, model, cards[part], _part_tags(part, manifest, evidence))))
        parts = dict(made) | ({registered_name("encoder"): known_encoder} if known_encoder else {})
        tags = _router_tags(manifest, evidence, parts)
        version = add_version(run, ROUTER, router_model, cards["router"], tags)
    except BaseException as error:
        _remove(run, made, error)
        raise
    run.tags({"registered": f"{ROUTER} version {version}", VERDICT_TAG: _NOT_JUDGED})
    return RegisteredRouter(version, f"models:/{ROUTER}/{version}", parts)


def add_router_version(
    run: TrainingRun,
    bundle_folder: Path,
    evidence: Evidence,
    card: str,
    parts: Mapping[str, int],
    tags: Mapping[str, str],
) -> int:
    """Register a bundle made of parts that are registered already; return the router's version."""
    manifest = verify(bundle_folder)
    model = _log_router(run, bundle_folder, card, manifest)
    return add_version(run, ROUTER, model, card, _router_tags(manifest, evidence, parts) | dict(tags))


def _check_cards(cards: Mapping[str, str]) -> None:
    for part in ("router", "encoder", "quality"):
        if not cards.get(part, "").strip():
            raise InputError(f"no model card for {part!r}: every registered model has one, in Markdown")
    unknown = sorted(set(cards) - {"router", *PARTS})
    if unknown:
        raise InputError(f"a model card for {unknown[0]!r}, must be for one of router, {', '.join(PARTS)}")


def _encoder_version(run: TrainingRun, manifest: Manifest) -> int | None:
    name = registered_name("encoder")
    with translated(run.config):
        found = run.client.search_model_versions(
            f"name = '{name}' and tags.{_ENCODER_HASH_TAG} = '{manifest.encoder_hash}'"
        )
    return max((int(version.version) for version in found), default=None)


def _log_part(
    run: TrainingRun, bundle: Path, part: PartName, card: str, manifest: Manifest, features: NDArray[np.float32]
) -> LoggedModel:
    example: NDArray[Any] = EXAMPLE_PROMPTS if part == "encoder" else np.asarray(features, dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="beast-part-") as scratch:
        files = Path(scratch) / "part"
        write_part(bundle, part, files)
        return log_pyfunc(
            run,
            part,
            script=PART_SCRIPT,
            files=files,
            example=example,
            answer=np.asarray(read_part(files).predict(example)),
            metadata={"part": part, "candidates": list(manifest.models), "feature_hash": manifest.feature_hash},
            card=card,
        )


def _log_router(run: TrainingRun, bundle: Path, card: str, manifest: Manifest) -> LoggedModel:
    with tempfile.TemporaryDirectory(prefix="beast-router-") as scratch:
        files = Path(scratch) / Path(BUNDLE_FOLDER).name
        shutil.copytree(bundle, files)
        return log_pyfunc(
            run,
            "router",
            script=ROUTER_SCRIPT,
            files=files,
            example=EXAMPLE_PROMPTS,
            answer=np.array(manifest.models),
            metadata={"bundle_digest": manifest.digest, "candidates": list(manifest.models)},
            card=card,
        )


def _part_tags(part: str, manifest: Manifest, evidence: Evidence) -> dict[str, str]:
    if part == "encoder":
        return {_ENCODER_HASH_TAG: manifest.encoder_hash}
    return {
        "candidates": ", ".join(manifest.models),
        "data_digest": evidence.data_digest,
        "feature_hash": manifest.feature_hash,
    }


def _router_tags(manifest: Manifest, evidence: Evidence, parts: Mapping[str, int]) -> dict[str, str]:
    # In this order, because the list of versions shows tags as they were set: what people look for comes first.
    return (
        {VERDICT_TAG: _NOT_JUDGED, KIND_TAG: manifest.kind, "candidates": ", ".join(manifest.models)}
        | {name: str(version) for name, version in parts.items()}
        | {
            DIGEST_TAG: manifest.digest,
            "data_digest": evidence.data_digest,
            _ENCODER_HASH_TAG: manifest.encoder_hash,
            "feature_hash": manifest.feature_hash,
            EVIDENCE_TAG: evidence.to_json(),
        }
    )


def add_version(run: TrainingRun, name: str, model: LoggedModel, card: str, tags: Mapping[str, str]) -> int:
    """Make an uploaded model the next version of a registered one, and return its number."""
    part = next(part for part in ABOUT if registered_name(part) == name)
    with translated(run.config):
        try:
            run.client.create_registered_model(name, description=ABOUT[part])
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = run.client.create_model_version(
            name,
            source=model.location,  # not "models:/ID": MLflow looks that up in its process-wide store, not in this one
            run_id=run.id,
            tags=dict(tags),
            description=card,
            model_id=model.id,
            await_creation_for=0,
        )
    return int(version.version)


def _remove(run: TrainingRun, made: Sequence[tuple[str, int]], reason: BaseException) -> None:
    for name, version in reversed(made):
        try:
            with translated(run.config):
                run.client.delete_model_version(name, str(version))
        except BeastError as second:
            reason.add_note(f"{name} version {version} is left over, delete it in MLflow: {second}")
