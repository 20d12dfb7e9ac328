"""Bring a bundle that was trained elsewhere into a registry, with the evidence that speaks for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beast_ml.bundle.manifest import Manifest
from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.errors import InputError
from beast_ml.features.history import History
from beast_ml.predictors.contract import Rows
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import EXAMPLE_PROMPTS, RegisteredRouter, register_router
from beast_ml.registry.tracking import training_run

__all__ = ["BundleRegistration", "read_evidence", "register_bundle"]


@dataclass(frozen=True)
class BundleRegistration:
    """What a registration came to.

    Parameters
    ----------
    registered
        Versions in the registry.
    manifest
        Of the bundle.
    run_id
        The MLflow run it is recorded in.
    """

    registered: RegisteredRouter
    manifest: Manifest
    run_id: str


def read_evidence(path: Path) -> Evidence:
    """Return the evidence in a JSON file, such as the ``evidence.json`` that every training run keeps in MLflow.

    Raises
    ------
    InputError
        If there is no such file, or it holds no evidence.
    """
    try:
        return Evidence.from_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the evidence in {path}: {error}") from error


def register_bundle(folder: Path, evidence: Evidence, *, tracking: TrackingConfig, name: str) -> BundleRegistration:
    """Register a bundle and its parts, as the training that made it would have.

    Parameters
    ----------
    folder
        The bundle; it is verified, and left as it is.
    evidence
        What its training measured.
    tracking
        The MLflow store to register it in.
    name
        What its training data are called.

    Raises
    ------
    BundleError
        If the bundle cannot be read, or is not what its manifest says.
    InputError
        If the evidence is of another training.
    RegistryUnavailableError
        If MLflow does not answer.
    """
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    if evidence.data_digest != manifest.training_digest:
        raise InputError(
            f"the evidence is on a router trained on data {evidence.data_digest[:16]}, the bundle in {folder} was "
            f"trained on {manifest.training_digest[:16]}: give the evidence of its own training"
        )
    cards = _cards(bundle, evidence, name)
    tags = {"data": name, "encoder": manifest.encoder, "kind of run": "registration"}
    with training_run(tracking, f"register {name}", cards["router"], tags) as run:
        run.params(
            {
                "bundle": manifest.digest,
                "models": len(manifest.models),
                "training_queries": manifest.n_training_queries,
                "trained by beast-ml": manifest.beast_version,
                **{f"run/{role}": run_id for role, run_id in manifest.run_ids.items()},
            }
        )
        run.dataset(
            f"{name} (training)",
            digest=manifest.training_digest,
            source=name,
            context="training",
            profile={"queries": manifest.n_training_queries, "models": len(manifest.models)},
        )
        registered = register_router(run, folder, evidence, cards, _example_rows(bundle))
    return BundleRegistration(registered, manifest, run.id)


def _example_rows(bundle: RouterBundle) -> Rows:
    """Return the feature rows of a few prompts, right after the training log where the features have a history."""
    prompts, spec = EXAMPLE_PROMPTS.tolist(), bundle.features.spec.history
    if spec is None:
        return bundle.features.matrix(prompts)
    past = History(spec, bundle.history).features("", None, at_us=sys.maxsize)
    return bundle.features.matrix(prompts, None, np.stack([past] * len(prompts)))


def _cards(bundle: RouterBundle, evidence: Evidence, name: str) -> dict[str, str]:
    """Return model cards by part, of what the bundle and the evidence say of themselves."""
    manifest, predictors = bundle.manifest, bundle.predictors
    pool = ", ".join(f"`{model}`" for model in manifest.models)
    origin = (
        f"Trained on {manifest.n_training_queries} queries of `{name}` (sha256 `{manifest.training_digest[:16]}`) by "
        f"beast-ml {manifest.beast_version}, and registered from its bundle. Candidates: {pool}."
    )
    figures = "\n".join(f"| {figure} | {value} |" for figure, value in evidence.rows())
    quality = (
        f"Probability-like quality (0..1) of each candidate's answer. {origin}\n\nCalibration error on test queries "
        f"{evidence.quality_ece:.3f}; a perfectly calibrated predictor would show {evidence.quality_ece_floor:.3f}."
    )
    cards = {
        "router": f"{origin}\n\n| on test queries | |\n|---|---|\n{figures}",
        "encoder": f"The `{manifest.encoder}` encoder, hash `{manifest.encoder_hash[:16]}`.",
        "quality": quality,
    }
    if predictors.cost is not None:
        cards["cost"] = f"Cost of one call to each candidate, USD. {origin}"
    if predictors.latency is not None:
        cards["latency"] = f"Seconds until each candidate has answered. {origin}"
    return cards
