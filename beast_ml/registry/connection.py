"""A client of the configured store, and MLflow's failures told in our words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import httpx2
import requests  # mlflow's own HTTP library, whose errors its artifact clients let out
import sqlalchemy.exc

from beast_ml.errors import RegistryError, RegistryUnavailableError
from beast_ml.file_lock import file_lock
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.saved_view import EVIDENCE_VIEW, evidence_view

__all__ = ["connect", "experiment_id", "translated"]

_PATIENCE_S: Final = 3.0
_ABOUT_EXPERIMENT: Final = (
    "Read a training's tag `verdict` first, then `evidence/quality_gain` and `evidence/cost_saving`.\n\n"
    "- Both metrics compare the router with its reference, on queries that it was not trained on; `_low` and `_high` "
    f"bound them at the 95% level. The view `{EVIDENCE_VIEW}` (menu Views) has them, and the tag, as columns.\n"
    "- The runs below a run are its predictors of quality, cost and latency.\n"
    "- To compare trainings, tick them and press Compare.\n"
    "- What serves is the version with the alias `champion` of the registered model `beast-router`."
)


def connect(config: TrackingConfig) -> Any:
    """Return an ``MlflowClient`` of the store, once it has answered.

    The first touch of a new SQLite file creates its tables (about 2 s).

    Raises
    ------
    RegistryUnavailableError
        If the server does not answer within a few seconds, or the SQLite file cannot be opened.
    """
    if config.is_server:
        try:
            answer = httpx2.get(f"{config.uri}/health", timeout=_PATIENCE_S, follow_redirects=True)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _unavailable(config, error) from error
        if answer.status_code == 404 or answer.status_code >= 500:
            raise _unavailable(config, f"HTTP status {answer.status_code} for {config.shown}/health")
    elif config.database is not None:
        try:
            config.database.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable(config, error) from error
    with translated(config), _alone(config):
        client = mlflow.MlflowClient(tracking_uri=config.uri, registry_uri=config.uri)
        client.search_experiments(max_results=1)
        return client


def experiment_id(client: Any, config: TrackingConfig) -> str:
    """Return the id of the configured experiment, creating it with its description when it is not there."""
    with translated(config):
        found = client.get_experiment_by_name(config.experiment)
        if found is None:
            location = None if config.is_server else config.artifacts.as_uri()
            tags = {"mlflow.note.content": _ABOUT_EXPERIMENT, **evidence_view(time.time())}
            try:
                return str(client.create_experiment(config.experiment, artifact_location=location, tags=tags))
            except mlflow.exceptions.MlflowException:
                found = client.get_experiment_by_name(config.experiment)  # another process was quicker
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise RegistryError(
                f"the experiment {config.experiment!r} was deleted in MLflow: restore it with `mlflow experiments "
                f"restore --experiment-id {found.experiment_id}`, or name another one in `tracking.experiment`"
            )
        return str(found.experiment_id)


@contextmanager
def _alone(config: TrackingConfig) -> Iterator[None]:
    """Keep others from a SQLite file meanwhile: two that create its tables at once fail."""
    with ExitStack() as held:
        if config.database is not None:
            with suppress(OSError):  # whoever may only read creates no tables
                held.enter_context(file_lock(config.database.with_name(f".{config.database.name}.lock")))
        yield


@contextmanager
def translated(config: TrackingConfig) -> Iterator[None]:
    """Turn what MLflow raises inside the block into our errors.

    Raises
    ------
    RegistryUnavailableError
        If the store did not answer.
    RegistryError
        If it answered, and the answer was no.
    """
    try:
        yield
    except mlflow.exceptions.MlflowException as error:
        if _is_silence(error):
            raise _unavailable(config, error) from error
        raise RegistryError(f"MLflow at {config.shown} refused: {error.message}") from error
    except (sqlalchemy.exc.SQLAlchemyError, requests.RequestException) as error:
        raise _unavailable(config, error) from error


def _is_silence(error: Any) -> bool:
    """Whether no store stands behind an MLflow error: its database or its server failed, not the request."""
    if error.error_code == "TEMPORARILY_UNAVAILABLE":
        return True
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, requests.RequestException | sqlalchemy.exc.OperationalError):
            return True
        link = link.__cause__ or link.__context__
    return False


def _unavailable(config: TrackingConfig, why: object) -> RegistryUnavailableError:
    reason = str(why).strip().splitlines()[0] if str(why).strip() else type(why).__name__
    if config.is_server:
        advice = "start it (`mlflow server`), or point `tracking.uri` at one that runs"
        return RegistryUnavailableError(f"the MLflow server at {config.shown} does not answer ({reason}): {advice}")
    return RegistryUnavailableError(
        f"the MLflow database {config.database} cannot be used ({reason}): check that it is a SQLite file this user "
        "may write and that its disk is not full, or point `tracking.uri` elsewhere"
    )
