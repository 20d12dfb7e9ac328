"""One MLflow parent run per training, with a child run per predictor.

The client is explicit: nothing here touches MLflow's process-wide tracking URI or its active run, so that two
trainings in one process cannot write into each other's runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from beast_ml.errors import BeastError
from beast_ml.registry.code_version import code_tags
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect, experiment_id, translated
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.version import __version__

__all__ = ["PACKAGE_TAG", "TrackingConfig", "TrainingRun", "training_run"]

PACKAGE_TAG: Final = "beast_ml_version"
"""Tag of a run with the version of the package that made it."""

_DESCRIPTION: Final = "mlflow.note.content"
_PARENT: Final = "mlflow.parentRunId"
_PER_BATCH: Final = 100  # MLflow's ceiling for parameters and tags in one call; metrics may be more
_DIGEST_LENGTH: Final = 36  # MLflow's ceiling; the whole digest is a tag of the input
_NOT_IN_NAMES: Final = re.compile(r"[^\w.\- :/]")

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingRun:
    """A run that is open for writing.

    Parameters
    ----------
    config
        The store it is written to.
    client
        An ``MlflowClient`` of that store.
    id
        MLflow's id of the run.
    experiment_id
        MLflow's id of its experiment.
    """

    config: TrackingConfig
    client: Any
    id: str
    experiment_id: str

    def params(self, values: Mapping[str, object]) -> None:
        """Record what the training was told; values are written as text."""
        entries = [mlflow.entities.Param(_safe(name), str(value)) for name, value in values.items()]
        with translated(self.config):
            for batch in _batches(entries):
                self.client.log_batch(self.id, params=batch)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record figures; ``a/b`` groups them under ``a`` in the UI. With a step they draw a curve."""
        now = int(time.time() * 1000)
        entries = [mlflow.entities.Metric(_safe(name), float(v), now, step or 0) for name, v in values.items()]
        with translated(self.config):
            for batch in _batches(entries):
                self.client.log_batch(self.id, metrics=batch)

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags, over those that are there."""
        entries = [mlflow.entities.RunTag(_safe(name), str(value)) for name, value in values.items()]
        with translated(self.config):
            for batch in _batches(entries):
                self.client.log_batch(self.id, tags=batch)

    def describe(self, markdown: str) -> None:
        """Set the description that the run's page shows, in Markdown."""
        with translated(self.config):
            self.client.set_tag(self.id, _DESCRIPTION, markdown)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file, or a folder with what is in it, under ``folder`` of the run's artifacts.

        Raises
        ------
        FileNotFoundError
            If there is nothing at the path.
        """
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist, so it cannot be logged to the run")
        with translated(self.config):
            if path.is_dir():
                self.client.log_artifacts(self.id, str(path), artifact_path=folder)
            else:
                self.client.log_artifact(self.id, str(path), artifact_path=folder)

    def text(self, content: str, file: str) -> None:
        """Write a text artifact, for example ``report.md``."""
        with translated(self.config):
            self.client.log_text(self.id, content, file)

    def dataset(
        self,
        name: str,
        *,
        digest: str,
        source: str,
        context: str,
        columns: Mapping[str, str] | None = None,
        profile: Mapping[str, object] | None = None,
    ) -> None:
        """Record a table as an input of the run.

        Parameters
        ----------
        name
            What people call it, for example ``routerbench3``.
        digest
            Digest of its content; MLflow shows the first 36 characters.
        source
            Where it came from: a path or an address.
        context
            What it was used for, for example ``training`` or ``test``.
        columns
            Column name -> MLflow type (``string``, ``double``, ``long``, ``boolean``, ``datetime``).
        profile
            Counts to show beside it, for example ``{"rows": 1785}``.
        """
        columns = columns or {}
        schema = {"mlflow_colspec": [{"name": n, "type": kind, "required": True} for n, kind in columns.items()]}
        dataset = mlflow.entities.Dataset(
            name=name,
            digest=digest[:_DIGEST_LENGTH],
            source_type="local" if "://" not in source else source.split("://", 1)[0],
            source=json.dumps({"uri": source}),
            schema=json.dumps(schema) if columns else None,
            profile=json.dumps(dict(profile)) if profile else None,
        )
        tags = [mlflow.entities.InputTag("mlflow.data.context", context), mlflow.entities.InputTag("digest", digest)]
        with translated(self.config):
            self.client.log_inputs(self.id, [mlflow.entities.DatasetInput(dataset, tags)])

    @contextmanager
    def child(
        self,
        name: str,
        description: str,
        tags: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Iterator[TrainingRun]:
        """Open a child run; it is closed with the block, FAILED when the block raises."""
        run = _create(self.config, self.client, self.experiment_id, name, description, tags, parent=self.id)
        with _closing(run):
            if params:
                run.params(params)
            yield run


@contextmanager
def training_run(
    config: TrackingConfig, name: str, description: str, tags: Mapping[str, object] | None = None
) -> Iterator[TrainingRun]:
    """Open the parent run of a training; it is closed with the block, FAILED with a `failure` tag when that raises.

    Parameters
    ----------
    config
        The store.
    name
        What the list of runs shows.
    description
        Markdown at the head of the run's page; `TrainingRun.describe` replaces it once there is a verdict.
    tags
        What runs are filtered and grouped by.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    client = connect(config)
    run = _create(config, client, experiment_id(client, config), name, description, tags, parent=None)
    with _closing(run):
        yield run


def _create(
    config: TrackingConfig,
    client: Any,
    experiment: str,
    name: str,
    description: str,
    tags: Mapping[str, object] | None,
    *,
    parent: str | None,
) -> TrainingRun:
    given = {_safe(key): str(value) for key, value in (tags or {}).items()}
    lineage = {PACKAGE_TAG: __version__} | code_tags() | ({_PARENT: parent} if parent else {})
    with translated(config):
        # user and program, as MLflow's own start_run finds them
        context = mlflow.tracking.context.registry.resolve_tags(given | lineage | {_DESCRIPTION: description})
        created = client.create_run(experiment, tags=context, run_name=name)
    return TrainingRun(config, client, created.info.run_id, experiment)


@contextmanager
def _closing(run: TrainingRun) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            run.tags({"failure": f"{type(error).__name__}: {error}"[:5000]})
            with translated(run.config):
                run.client.set_terminated(run.id, status)
        except BeastError as second:
            error.add_note(f"the run {run.id} could not be marked {status}: {second}")
        raise
    with translated(run.config):
        run.client.set_terminated(run.id, "FINISHED")


def _safe(name: str) -> str:
    """Return the name with what MLflow does not allow in one (``@``, ``+``, doubled slashes) replaced."""
    clean = re.sub(r"/{2,}", "/", _NOT_IN_NAMES.sub("_", name)).strip("/")
    return clean or "_"


def _batches(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(entries), _PER_BATCH):
        yield entries[start : start + _PER_BATCH]
