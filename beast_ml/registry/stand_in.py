"""The champion where routing is not proven: a bundle that always answers with the best single model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from beast_ml.bundle.parts import PARTS
from beast_ml.bundle.write import always_single
from beast_ml.errors import RegistryError
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import translated
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import VERDICT_TAG, add_router_version
from beast_ml.registry.names import registered_name
from beast_ml.registry.resolve import resolve
from beast_ml.registry.tracking import TrainingRun

__all__ = ["SINGLE", "STANDS_IN_FOR", "get_version", "stand_in"]

SINGLE: Final = "single"
"""Kind of a bundle that always answers with one model."""

STANDS_IN_FOR: Final = "stands_in_for"
"""Tag of an always-best-single version: the version of the router that was not proven."""


def get_version(client: Any, config: TrackingConfig, version: int) -> Any:
    """Return MLflow's record of a version of the router.

    Raises
    ------
    RegistryError
        If there is no such version.
    """
    try:
        with translated(config):
            return client.get_model_version(ROUTER, str(version))
    except RegistryError as error:
        if getattr(error.__cause__, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RegistryError(f"{ROUTER} has no version {version}: `beast ui` lists those it has") from error


def stand_in(client: Any, config: TrackingConfig, candidate: Any, evidence: Evidence) -> Any:
    """Return the always-best-single version of a router, registering it when no earlier attempt has.

    It belongs to the run that trained the router, and is made of the same parts.
    """
    with translated(config):
        found = client.search_model_versions(f"name = '{ROUTER}' and tags.{STANDS_IN_FOR} = '{candidate.version}'")
        run = client.get_run(candidate.run_id)
    if found:
        return get_version(client, config, max(int(version.version) for version in found))
    model = evidence.best_single_model
    card = (
        f"# Always {model}\n\nRouting is not proven on this data (see version {candidate.version}, and its tag "
        f"`verdict`), so every request goes to **{model}**, the best single model. The predictors are still in the "
        "bundle, for estimates."
    )
    names = (registered_name(part) for part in PARTS)
    parts = {name: int(candidate.tags[name]) for name in names if name in candidate.tags}
    with tempfile.TemporaryDirectory(prefix="beast-single-") as scratch:
        bundle = resolve(f"models:/{ROUTER}/{candidate.version}", config, Path(scratch))
        single = Path(scratch) / SINGLE
        always_single(bundle, model, single)
        version = add_router_version(
            TrainingRun(config, client, candidate.run_id, run.info.experiment_id),
            single,
            evidence,
            card,
            parts,
            {STANDS_IN_FOR: str(candidate.version), VERDICT_TAG: f"always answers with {model}"},
        )
    return get_version(client, config, version)
