"""Add a model to a registered router: a new version, with the evidence there is, for the gates to judge."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beast_ml.bundle.add_candidate import AddedCandidate, Newcomer, ProbeResults, add_candidate
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.models import RegisteredRouter
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import ResolvedBundle

__all__ = ["Onboarding", "onboard"]


@dataclass(frozen=True)
class Onboarding:
    """What was added, and the version it is registered as."""

    added: AddedCandidate
    registered: RegisteredRouter


def onboard(
    source: ResolvedBundle,
    new: Newcomer,
    prompts: Sequence[str],
    probes: ProbeResults | None,
    *,
    tracking: TrackingConfig,
) -> Onboarding:
    """Add a model to a registered router, and register the result with its parts.

    The evidence is that of the router it was added to, and the card says so: nothing has measured the new candidate on
    test queries yet. The version serves only once `promote` has let it through the gates, or once it is named.

    Parameters
    ----------
    source
        The registered router.
    new, prompts, probes
        As for `beast_ml.bundle.add_candidate.add_candidate`.
    tracking
        The MLflow store.

    Raises
    ------
    BundleError, InputError
        If the model cannot be added.
    RegistryError, RegistryUnavailableError
        If the registry refuses or does not answer.
    """
    evidence = recorded_evidence(source.version, tracking)
    with tempfile.TemporaryDirectory(prefix="beast-onboarding-") as scratch:
        folder = Path(scratch) / "bundle"
        added = add_candidate(source.path, folder, new, prompts, probes)
        name = f"version {source.version} with {new.name} (evidence without it)"
        registered = register_bundle(folder, evidence, tracking=tracking, name=name).registered
    return Onboarding(added, registered)
