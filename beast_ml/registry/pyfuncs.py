"""Bundle files as loadable MLflow models: code and arrays, never a pickle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import BeastError
from beast_ml.registry.connection import translated
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.tracking import TrainingRun

__all__ = ["CACHE_SCRIPT", "PART_SCRIPT", "ROUTER_SCRIPT", "LoggedModel", "log_pyfunc"]

_SCRIPTS: Final = Path(__file__).with_name("scripts")
CACHE_SCRIPT: Final = _SCRIPTS / "cache.py"
"""Loads a registered cache."""

PART_SCRIPT: Final = _SCRIPTS / "part.py"
"""Loads a part of a bundle."""

ROUTER_SCRIPT: Final = _SCRIPTS / "router.py"
"""Loads a bundle."""

_CARD: Final = "model_card.md"


@dataclass(frozen=True)
class LoggedModel:
    """A model that is uploaded, but no version of anything yet.

    Parameters
    ----------
    id
        MLflow's id of it.
    location
        Address of its files.
    """

    id: str
    location: str


def log_pyfunc(
    run: TrainingRun,
    name: str,
    *,
    script: Path,
    files: Path,
    example: NDArray[Any],
    answer: NDArray[Any],
    metadata: Mapping[str, object],
    card: str,
    packages: Sequence[str] = (),
) -> LoggedModel:
    """Upload a model to the run.

    The model is run on the example first, as it will be loaded: one that cannot answer is never uploaded.

    Parameters
    ----------
    run
        The run that trained it; need not be open any more.
    name
        Its name on the run's page.
    script
        The code that loads it, one of this module's constants.
    files
        Folder with what the code reads; its own name is the key the code finds it by.
    example
        An input: prompts (n,) or features (n, d).
    answer
        An output of the same kind as the model gives; the signature says tensors like these two, of any length.
    metadata
        Stored in the model's ``MLmodel`` file.
    card
        Its model card, Markdown, stored beside the files.
    packages
        What loading it needs beside what all models need.
    """
    with tempfile.TemporaryDirectory(prefix="beast-model-") as scratch:
        local = Path(scratch) / "model"
        with translated(run.config):
            record = run.client.create_logged_model(run.experiment_id, name=name, source_run_id=run.id)
        try:
            # what mlflow or the model raises here is a defect of the model, so it goes out as it is
            mlflow.pyfunc.save_model(
                path=local,
                python_model=str(script),
                artifacts={files.name: str(files)},
                signature=mlflow.models.ModelSignature(inputs=_tensor(example), outputs=_tensor(answer)),
                input_example=example,
                pip_requirements=_requirements(packages),
                metadata=dict(metadata),
                mlflow_model=mlflow.models.Model(
                    artifact_path=record.artifact_location,
                    run_id=run.id,
                    model_uuid=record.model_id,
                    model_id=record.model_id,
                ),
            )
            mlflow.pyfunc.load_model(str(local)).predict(example)
            (local / _CARD).write_text(card, encoding="utf-8")
            with translated(run.config):
                run.client.log_model_artifacts(record.model_id, str(local))
                run.client.log_outputs(run.id, [mlflow.entities.LoggedModelOutput(record.model_id, step=0)])
                run.client.finalize_logged_model(record.model_id, "READY")
        except BaseException as error:
            try:
                with translated(run.config):
                    run.client.finalize_logged_model(record.model_id, "FAILED")
            except BeastError as second:
                error.add_note(f"the model {record.model_id} could not be marked FAILED: {second}")
            raise
    return LoggedModel(str(record.model_id), str(record.artifact_location))


def _tensor(array: NDArray[Any]) -> Any:
    kind = np.dtype("str") if array.dtype.kind == "U" else array.dtype
    return mlflow.types.Schema([mlflow.types.TensorSpec(kind, (-1, *array.shape[1:]))])


def _requirements(more: Sequence[str]) -> list[str]:
    """Return what loading needs, pinned; mlflow would spend 15 s on working it out."""
    packages = ("beast-ml", "mlflow", "msgspec", "numpy", "safetensors", "tokenizers", *more)
    return [f"{package}=={version(package)}" for package in packages]
