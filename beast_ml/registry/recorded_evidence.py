"""The evidence that a registered router carries, and what was found out about it later."""

from __future__ import annotations

from beast_ml.errors import RegistryError
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import EVIDENCE_TAG

__all__ = ["amend_evidence", "recorded_evidence"]


def recorded_evidence(version: int, config: TrackingConfig) -> Evidence:
    """Return the evidence of a version of the router.

    Raises
    ------
    RegistryError
        If there is no such version, or it carries none.
    RegistryUnavailableError
        If the registry does not answer.
    """
    client = connect(config)
    with translated(config):
        text = client.get_model_version(ROUTER, str(version)).tags.get(EVIDENCE_TAG)
    if not text:
        raise RegistryError(f"version {version} of {ROUTER} carries no evidence: start from one that was trained here")
    return Evidence.from_json(text)


def amend_evidence(version: int, config: TrackingConfig, evidence: Evidence) -> None:
    """Let a version carry other evidence: what live requests told of it, where a log could not; idempotent.

    Raises
    ------
    RegistryError
        If there is no such version.
    RegistryUnavailableError
        If the registry does not answer.
    """
    client = connect(config)
    with translated(config):
        client.set_model_version_tag(ROUTER, str(version), EVIDENCE_TAG, evidence.to_json())
