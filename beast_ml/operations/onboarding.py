"""Add a model to a registered router: a new version, with the evidence there is, for the gates to judge."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beast_ml.bundle.add_candidate import AddedCandidate, Newcomer, ProbeResults, add_candidate, prompt_rows
from beast_ml.bundle.read import read_bundle
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.onboarding_evidence import weaken
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.models import RegisteredRouter
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import ResolvedBundle

__all__ = ["Onboarding", "onboard"]


@dataclass(frozen=True)
class Onboarding:
    """What was added, the version it is registered as, and the share of requests that would go to it."""

    added: AddedCandidate
    registered: RegisteredRouter
    share: float


def onboard(
    source: ResolvedBundle,
    new: Newcomer,
    prompts: Sequence[str],
    probes: ProbeResults | None,
    *,
    tracking: TrackingConfig,
) -> Onboarding:
    """Add a model to a registered router, and register the result with its parts.

    The evidence is that of the router it was added to, weakened by what is not known of the new candidate on the
    requests it would answer (`beast_ml.operations.onboarding_evidence`). The version serves only once `promote` has let
    it through the gates, or once it is named.

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
        before = read_bundle(source.path)
        weakened = weaken(
            evidence,
            before,
            read_bundle(folder).predictors,
            new.name,
            prompt_rows(before, prompts),
            is_probed=added.learnt.n_probes > 0,
        )
        name = f"version {source.version} with {new.name} (no test answers of it)"
        registered = register_bundle(folder, weakened.evidence, tracking=tracking, name=name).registered
    return Onboarding(added, registered, weakened.share)
