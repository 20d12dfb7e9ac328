"""From what decided a request back to the version, the run, the data and the code that made it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from beast_ml.bundle.parts import PARTS
from beast_ml.errors import RegistryError
from beast_ml.registry.code_version import CHANGED_TAG, COMMIT_TAG
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect, translated
from beast_ml.registry.names import registered_name
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.resolve import DIGEST_TAG
from beast_ml.registry.tracking import PACKAGE_TAG

__all__ = ["Lineage", "lineage_of"]

_DATA_TAG: Final = "data_digest"
_CONTEXT_TAG: Final = "mlflow.data.context"
_WHOLE_DIGEST_TAG: Final = "digest"


@dataclass(frozen=True)
class Lineage:
    """Where a router came from.

    Parameters
    ----------
    digest
        Of its bundle: what a log calls the version of the policy.
    version
        Of ``beast-router``: the first that holds this bundle.
    aliases
        That point at it now.
    parts
        Registered name -> version of the predictors and the encoder in it.
    run_id, run_name, trained_at
        The training.
    data_digest
        Of what it learnt from.
    data
        Inputs of the run: (context, name, digest) each.
    package_version, commit
        The code; None where the training did not know it.
    is_changed
        Whether the code had changes that no commit holds.
    """

    digest: str
    version: int
    aliases: tuple[str, ...]
    parts: dict[str, int]
    run_id: str
    run_name: str
    trained_at: datetime
    data_digest: str | None
    data: tuple[tuple[str, str, str], ...]
    package_version: str | None
    commit: str | None
    is_changed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"trained_at": self.trained_at.isoformat(), "data": [list(each) for each in self.data]}


def lineage_of(digest: str, config: TrackingConfig) -> Lineage:
    """Return where the router with this digest came from.

    Raises
    ------
    RegistryError
        If the registry holds no such router.
    RegistryUnavailableError
        If it does not answer.
    """
    client = connect(config)
    with translated(config):
        quoted = digest.replace("'", "")
        found = client.search_model_versions(f"name = '{ROUTER}' and tags.{DIGEST_TAG} = '{quoted}'")
        if not found:
            raise RegistryError(
                f"no version of {ROUTER} at {config.shown} has the bundle {digest}: it was served from a folder, or "
                "registered elsewhere"
            )
        first = min(found, key=lambda version: int(version.version))
        aliases = client.get_registered_model(ROUTER).aliases
        run = client.get_run(first.run_id)
    tags, numbers = first.tags, {int(version.version) for version in found}
    parts = {registered_name(part): tags.get(registered_name(part)) for part in PARTS}
    return Lineage(
        digest=digest,
        version=int(first.version),
        aliases=tuple(sorted(name for name, version in aliases.items() if int(version) in numbers)),
        parts={name: int(version) for name, version in parts.items() if version is not None},
        run_id=run.info.run_id,
        run_name=run.info.run_name,
        trained_at=datetime.fromtimestamp(run.info.start_time / 1000.0, UTC),
        data_digest=tags.get(_DATA_TAG),
        data=tuple(_input(each) for each in run.inputs.dataset_inputs),
        package_version=run.data.tags.get(PACKAGE_TAG),
        commit=run.data.tags.get(COMMIT_TAG),
        is_changed=CHANGED_TAG in run.data.tags,
    )


def _input(given: mlflow.entities.DatasetInput) -> tuple[str, str, str]:
    tags = {tag.key: tag.value for tag in given.tags}
    return tags.get(_CONTEXT_TAG, ""), given.dataset.name, tags.get(_WHOLE_DIGEST_TAG, given.dataset.digest)
