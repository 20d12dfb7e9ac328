"""A switch as an experiment: the champion's bundle under another policy, beside the champion."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.write import with_policy
from beast_ml.errors import InputError
from beast_ml.experiments.definitions import Experiment, Guardrail, Variant
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.savings.recommendation import Recommendation, SwitchFigures
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence, Interval
from beast_ml.registry.loop_runs import point_alias
from beast_ml.registry.proposals import SWITCH_PREFIX
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import resolve_version

__all__ = ["savings_experiment"]

_ERRORS: Final = Guardrail(metric="errors", most_harm=0.02)
_QUALITY: Final = Guardrail(metric="quality", most_harm=0.02)


def savings_experiment(
    found: Recommendation, share: float, address: str, tracking: TrackingConfig, running: Experiments
) -> Experiment:
    """Register the champion's bundle under another policy as the challenger; return the experiment that serves both.

    Guardrails stop it by itself where it provably loses two points of quality, or fails two points more often.

    Parameters
    ----------
    share
        Of the users that the challenger is to serve.
    address
        Of the champion in the registry.
    running
        The server's experiments so far.

    Raises
    ------
    InputError
        If the router is not in a registry or another one than the report's, an experiment serves the challenger
        already, or the switch is no policy of the champion's bundle.
    RegistryUnavailableError
        If MLflow does not answer.
    """
    policy = found.policy
    if policy is None:
        raise InputError(f"{found.name}: no experiment of two routers can show this; {found.how}")
    if not address.startswith("models:"):
        raise InputError(f"the router is the folder {address}: register it, so that a challenger can stand beside it")
    if "challenger" in running.policies():
        raise InputError("an experiment serves the challenger already: stop it first (beast experiment stop ID)")
    champion = resolve_version(address, tracking)
    if verify(champion.path).training_digest != found.champion:
        raise InputError(
            f"{found.name}: the report was made with another router than {address} now is: make a new one "
            "(beast report savings)"
        )
    name = SWITCH_PREFIX + hashlib.sha256(msgspec.json.encode(policy)).hexdigest()[:8]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        with_policy(champion.path, policy, folder)
        evidence = _evidence(recorded_evidence(champion.version, tracking), found.figures)
        made = register_bundle(folder, evidence, tracking=tracking, name=name)
    version = made.registered.version
    point_alias(tracking, "challenger", version)
    variants = (
        Variant(name="control", policy="champion", share=1.0 - share),
        Variant(name="saving", policy="challenger", share=share),
    )
    return Experiment(id=f"{name}-v{version}", variants=variants, guardrails=(_ERRORS, _QUALITY))


def _evidence(champion: Evidence, found: SwitchFigures) -> Evidence:
    """Return the champion's evidence with what the log says of the switch in place of what it said of the champion."""
    return msgspec.structs.replace(
        champion,
        source="log",
        reference="logging_policy",
        n_test_queries=int(found.effective),
        quality_gain=Interval(found.quality, found.quality_low, found.quality_high),
        cost_saving=Interval(found.saving, found.saving_low, found.saving_high),
    )
