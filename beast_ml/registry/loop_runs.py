"""What the learning loop keeps in MLflow: one run a cycle, and aliases for the versions that it tries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from beast_ml.registry.champions import read_champions, settle
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, experiment_id, translated
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.resolve import DIGEST_TAG

__all__ = [
    "TriedAlias",
    "champion_version",
    "clear_alias",
    "close_cycle",
    "close_killed",
    "digest_of",
    "is_registered",
    "point_alias",
    "settle_champions",
    "tag_cycle",
    "trained_version",
]

TriedAlias = Literal["challenger", "shadow"]
"""Aliases under which the loop tries a candidate."""

_CYCLE_TAG: Final = "learning_loop"
_DATA_TAG: Final = "data"


def champion_version(config: TrackingConfig) -> int | None:
    """Return the version that serves; None where none does, or none was ever registered.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    client = connect(config)
    return read_champions(client, config).current if is_registered(client, config) else None


def settle_champions(config: TrackingConfig) -> None:
    """Put right what a roll-back that was killed has left of the former line of champions."""
    settle(connect(config), config)


def digest_of(config: TrackingConfig, version: int) -> str:
    """Return the digest of a version's bundle: what logs call its policy version."""
    client = connect(config)
    with translated(config):
        return str(client.get_model_version(ROUTER, str(version)).tags.get(DIGEST_TAG, ""))


def trained_version(config: TrackingConfig, name: str) -> int | None:
    """Return the version that a training on data of this name registered; None where none did."""
    client = connect(config)
    if not is_registered(client, config):
        return None
    with translated(config):
        runs = client.search_runs([experiment_id(client, config)], f"tags.{_DATA_TAG} = '{name}'")
        found = [
            int(version.version)
            for run in runs
            for version in client.search_model_versions(f"name = '{ROUTER}' and run_id = '{run.info.run_id}'")
        ]
    return max(found, default=None)


def close_killed(config: TrackingConfig, name: str) -> None:
    """Mark trainings on data of this name that still seem to run as killed: whoever ran them is gone."""
    client = connect(config)
    with translated(config):
        left = client.search_runs(
            [experiment_id(client, config)], f"tags.{_DATA_TAG} = '{name}' and attributes.status = 'RUNNING'"
        )
        for run in left:
            client.set_terminated(run.info.run_id, "KILLED")


def point_alias(config: TrackingConfig, alias: TriedAlias, version: int) -> None:
    """Point an alias at a version; doing it again changes nothing."""
    client = connect(config)
    with translated(config):
        model = client.get_registered_model(ROUTER)
        if str(model.aliases.get(alias)) != str(version):  # a number or a text, as the store has it
            client.set_registered_model_alias(ROUTER, alias, str(version))


def clear_alias(config: TrackingConfig, alias: TriedAlias, versions: Collection[int]) -> None:
    """Take an alias away where it points at one of these versions; doing it again changes nothing."""
    client = connect(config)
    with translated(config):
        if str(client.get_registered_model(ROUTER).aliases.get(alias)) in {str(version) for version in versions}:
            client.delete_registered_model_alias(ROUTER, alias)


def tag_cycle(config: TrackingConfig, cycle: str, tags: Mapping[str, str]) -> None:
    """Set tags of the cycle's run, which is made where there is none."""
    client = connect(config)
    run = _run_of(client, config, cycle)
    with translated(config):
        for name, value in tags.items():
            client.set_tag(run, name, value)


def close_cycle(config: TrackingConfig, cycle: str) -> None:
    """Mark the cycle's run as finished."""
    client = connect(config)
    run = _run_of(client, config, cycle)
    with translated(config):
        client.set_terminated(run, "FINISHED")


def _run_of(client: Any, config: TrackingConfig, cycle: str) -> str:
    experiment = experiment_id(client, config)
    with translated(config):
        found = client.search_runs([experiment], f"tags.{_CYCLE_TAG} = '{cycle}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        created = client.create_run(experiment, tags={_CYCLE_TAG: cycle}, run_name=f"learning loop, {cycle}")
    return str(created.info.run_id)


def is_registered(client: Any, config: TrackingConfig) -> bool:
    """Return whether any router was ever registered."""
    with translated(config):
        try:
            client.get_registered_model(ROUTER)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
    return True
