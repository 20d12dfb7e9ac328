"""Changes that learning, tuning and recommendations have proposed, and what evidence made of them, as MLflow has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from beast_ml.registry.champions import SINCE_TAG, read_champions
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.loop_runs import is_registered
from beast_ml.registry.models import VERDICT_TAG
from beast_ml.registry.period_runs import RecordedRun, runs_between
from beast_ml.registry.stand_in import STANDS_IN_FOR

__all__ = ["KEPT_DEFAULTS", "KEPT_TUNED", "SWITCH_PREFIX", "Proposal", "proposals"]

Origin = Literal["learning", "tuning", "recommendation"]
"""Who proposes."""

Outcome = Literal["adopted", "refused", "taken back", "open"]
"""What becomes of a proposal."""

SWITCH_PREFIX: Final = "savings-"
"""How the data of a router are called that a recommendation of `beast report savings` made."""

KEPT_TUNED: Final = "tuned settings kept"
"""Verdict of a tuning whose gain is beyond noise."""

KEPT_DEFAULTS: Final = "settings stay as they are"
"""Verdict of a tuning that proved nothing better."""

_KIND_TAG: Final = "kind of run"
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Proposal:
    """One change.

    Parameters
    ----------
    origin, what
        Who proposed it, and what it is.
    at
        When.
    outcome, because
        What became of it, and why as far as that is on record.
    version
        Of ``beast-router``; None of settings.
    """

    origin: Origin
    what: str
    at: datetime
    outcome: Outcome
    because: str
    version: int | None = None


def proposals(config: TrackingConfig) -> list[Proposal]:
    """Return every proposal on record, oldest first.

    Proposed are routers that a training or the learning loop registered, switches that a savings report recommended,
    and settings that a tuning found; bundles that people bring, and models that they add or retire, are not. A router
    is adopted once evidence made it champion, unless it was taken back since.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    client = connect(config)
    runs = {run.id: run for run in runs_between(config, _BEGINNING, datetime.now(UTC))}
    found = [each for run in runs.values() if (each := _of_tuning(run)) is not None]
    if is_registered(client, config):
        line = read_champions(client, config).line
        with translated(config):
            versions = client.search_model_versions(f"name = '{ROUTER}'")
        found += [each for version in versions if (each := _of_version(version, runs, line)) is not None]
    return sorted(found, key=lambda each: (each.at, each.version or 0))


def _of_tuning(run: RecordedRun) -> Proposal | None:
    if run.tags.get(_KIND_TAG) != "tuning":
        return None
    verdict = run.tags.get(VERDICT_TAG, "")
    outcome: Outcome = "adopted" if verdict == KEPT_TUNED else "refused" if verdict else "open"
    return Proposal("tuning", run.name, run.at, outcome, verdict)


def _of_version(version: Any, runs: dict[str, RecordedRun], line: tuple[int, ...]) -> Proposal | None:
    run = runs.get(version.run_id)
    if run is None or STANDS_IN_FOR in version.tags:
        return None
    kind, number = run.tags.get(_KIND_TAG, ""), int(version.version)
    if kind == "registration" and run.tags.get("data", "").startswith(SWITCH_PREFIX):
        origin: Origin = "recommendation"
    elif kind.startswith("training"):
        origin = "learning"
    else:
        return None
    verdict = str(version.tags.get(VERDICT_TAG, ""))
    outcome: Outcome = "open"
    if number in line:
        outcome = "adopted"
    elif SINCE_TAG in version.tags:
        outcome, verdict = "taken back", "it was champion, and an earlier one is again"
    elif verdict.startswith("refused"):
        outcome = "refused"
    return Proposal(origin, f"{ROUTER} version {number} ({run.name})", run.at, outcome, verdict, number)
