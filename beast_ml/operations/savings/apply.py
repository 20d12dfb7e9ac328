"""Start a switch as an experiment: the champion's bundle under another policy, beside the champion."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.bundle.write import with_policy
from beast_ml.errors import InputError
from beast_ml.experiments.definitions import Experiment, Guardrail, Variant
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.savings.report import RankedSwitch
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence, Interval
from beast_ml.registry.loop_runs import point_alias
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import resolve_version

__all__ = ["start_experiment"]

_ERRORS: Final = Guardrail(metric="errors", most_harm=0.02)
_QUALITY: Final = Guardrail(metric="quality", most_harm=0.02)


def start_experiment(each: RankedSwitch, share: float, address: str, tracking: TrackingConfig, state: Path) -> str:
    """Register the champion's bundle under another policy as the challenger, and let it serve a share of the users.

    Guardrails stop it by itself where it provably loses two points of quality, or fails two points more often.

    Parameters
    ----------
    address
        Of the champion in the registry.
    state
        Where the server keeps its experiments.

    Returns
    -------
    str
        What was started.

    Raises
    ------
    InputError
        If the router is not in a registry, an experiment serves the challenger already, or the switch is no policy of
        the champion's bundle.
    RegistryUnavailableError
        If MLflow does not answer.
    """
    policy = each.switch.policy
    if policy is None:
        raise InputError(f"{each.switch.name}: no experiment of two routers can show this; {each.switch.how}")
    if not address.startswith("models:"):
        raise InputError(f"the router is the folder {address}: register it, so that a challenger can stand beside it")
    file = state / EXPERIMENTS_FILE
    if "challenger" in read_experiments(file).policies():
        raise InputError("an experiment serves the challenger already: stop it first (beast experiment stop ID)")
    champion = resolve_version(address, tracking)
    name = "savings-" + hashlib.sha256(msgspec.json.encode(policy)).hexdigest()[:8]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        with_policy(champion.path, policy, folder)
        evidence = _evidence(recorded_evidence(champion.version, tracking), each)
        made = register_bundle(folder, evidence, tracking=tracking, name=name)
    version = made.registered.version
    point_alias(tracking, "challenger", version)
    state.mkdir(parents=True, exist_ok=True)
    variants = (
        Variant(name="control", policy="champion", share=1.0 - share),
        Variant(name="saving", policy="challenger", share=share),
    )
    FollowedExperiments(file).put(
        Experiment(id=f"{name}-v{version}", variants=variants, guardrails=(_ERRORS, _QUALITY))
    )
    return (
        f"Started {name}-v{version}: version {version} of the router ({each.switch.name}) serves {share:.0%} of the "
        f"users. See how it does: beast experiment analyze {name}-v{version}"
    )


def _evidence(champion: Evidence, each: RankedSwitch) -> Evidence:
    """Return the champion's evidence with what the log says of the switch in place of what it said of the champion."""
    found = each.checked or each.estimate
    return msgspec.structs.replace(
        champion,
        source="log",
        reference="logging_policy",
        n_test_queries=int(found.effective),
        quality_gain=Interval(found.quality, found.quality_low, found.quality_high),
        cost_saving=Interval(found.saving, found.saving_low, found.saving_high),
    )
