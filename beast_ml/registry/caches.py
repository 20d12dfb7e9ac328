"""Register a trained cache."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.cache.artefact import open_cache
from beast_ml.registry.models import add_version
from beast_ml.registry.names import registered_name
from beast_ml.registry.pyfuncs import CACHE_SCRIPT, log_pyfunc
from beast_ml.registry.tracking import TrainingRun

__all__ = ["EXAMPLE_PAIRS", "RegisteredCache", "register_cache"]

EXAMPLE_PAIRS: Final = np.array(
    [
        ["How do I turn on two-factor authentication?", "How can I enable 2FA?"],
        ["How do I turn on two-factor authentication?", "How can I disable 2FA?"],
    ]
)
"""Input example of a registered cache."""


@dataclass(frozen=True)
class RegisteredCache:
    """A trained cache that is in the registry.

    Parameters
    ----------
    version
        Its version of ``beast-cache``.
    uri
        Its address there.
    """

    version: int
    uri: str


def register_cache(run: TrainingRun, folder: Path, card: str) -> RegisteredCache:
    """Register a trained cache as a loadable model, and return the version.

    Its headline goes to the run as metrics, its curves as an artifact.

    Parameters
    ----------
    run
        The run that trained it.
    folder
        The trained cache; it is verified, and left as it is.
    card
        Model card, Markdown.

    Raises
    ------
    BundleError
        If it cannot be read, or is not what its manifest says.
    RegistryError
        If the registry refuses; `RegistryUnavailableError` if it does not answer.
    """
    parts = open_cache(folder)
    manifest, name = parts.manifest, registered_name("cache")
    run.metrics(manifest.headline)
    run.text(card, "cards/cache.md")
    run.artifact(folder / "curves.json")
    with tempfile.TemporaryDirectory(prefix="beast-cache-") as scratch:
        files = Path(scratch) / "cache"
        shutil.copytree(folder, files)
        model = log_pyfunc(
            run,
            "cache",
            script=CACHE_SCRIPT,
            files=files,
            example=EXAMPLE_PAIRS,
            answer=parts.similarities(EXAMPLE_PAIRS),
            metadata={"cache_digest": manifest.digest, "encoder_hash": manifest.encoder_hash},
            card=card,
            packages=("onnxruntime",),
        )
    tags = {
        "cache_digest": manifest.digest,
        "encoder_hash": manifest.encoder_hash,
        "gate_hash": manifest.gate_hash,
        "verifier_hash": manifest.verifier_hash or "none",
        "data_digest": manifest.training_digest,
        "headline": json.dumps(manifest.headline),
    }
    version = add_version(run, name, model, card, tags)
    run.tags({"registered": f"{name} version {version}"})
    return RegisteredCache(version, f"models:/{name}/{version}")
