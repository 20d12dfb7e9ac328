"""Where a search keeps its trials: an Optuna storage that survives a kill and that several processes share."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import stamina

from beast_ml.databases import database_address
from beast_ml.errors import InputError, MissingExtraError

__all__ = ["PROCESS", "begun_study", "fail_trials_of_dead_processes", "open_storage", "process_name"]

PROCESS: Final = "process"
"""Attribute of a trial: who runs it."""

_TOLD: Final = "told"
_PATIENCE_S: Final = 60


def open_storage(url: str) -> Any:
    """Return the Optuna storage at ``sqlite:///path`` or ``postgresql://...``; its tables are made where missing.

    Raises
    ------
    InputError
        If there is no such database, or it cannot be reached.
    MissingExtraError
        If Optuna or the database's driver is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("tuning a router", "train") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    address = database_address(url)
    backend = address.get_backend_name()
    settings: dict[str, Any] = {}
    if backend in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
        settings = {"poolclass": sa.NullPool}  # trials take seconds: no connection is held meanwhile
    elif backend == "sqlite":
        settings = {"connect_args": {"timeout": _PATIENCE_S}}
    else:
        raise InputError(f"`storage` names {backend}, must be sqlite or postgresql")
    try:
        if backend == "sqlite" and address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        # Two processes that begin at once may both find no tables, and one of them then fails to make them.
        for attempt in stamina.retry_context(on=sa.exc.DBAPIError, attempts=4, timeout=_PATIENCE_S):
            with attempt, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                storage = optuna.storages.RDBStorage(address.render_as_string(hide_password=False), settings)
    except ImportError as error:
        raise MissingExtraError("tuning in PostgreSQL", "cluster") from error
    except (OSError, sa.exc.SQLAlchemyError, RuntimeError) as error:
        shown = address.render_as_string(hide_password=True)
        raise InputError(f"cannot keep trials in {shown}: {type(error).__name__}; check `--storage`") from error
    if backend == "sqlite":
        _serialise(storage.engine)
    return storage


def _serialise(engine: sa.Engine) -> None:
    """Have each transaction of SQLite hold the file from its beginning.

    A trial is claimed by reading that nobody has it and then writing who does. SQLite locks no rows, so two processes
    could both read, and both get it.
    """

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # a kill loses nothing; only the machine's power may

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # those that are open were not prepared


def begun_study(
    storage: Any, name: str, directions: Sequence[str], told: Mapping[str, Any], seed: int
) -> tuple[Any, bool]:
    """Return the study of a name, begun by this process or by another, and whether it was by this one.

    Parameters
    ----------
    told
        What it searches in; a study that was begun with something else is not gone on with.
    seed
        Of what is drawn. Processes that join draw otherwise, or all would try the same.

    Raises
    ------
    InputError
        If the study of that name searches in something else.
    """
    import optuna

    try:
        sampler = optuna.samplers.TPESampler(seed=seed)
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, sampler=sampler)
        study.set_user_attr(_TOLD, dict(told))
        return study, True
    except optuna.exceptions.DuplicatedStudyError:
        sampler = optuna.samplers.TPESampler(seed=(seed + 7919 * os.getpid()) % 2**32)
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    before = study.user_attrs.get(_TOLD)
    if before is not None and before != dict(told):
        changed = sorted(key for key in {*before, *told} if before.get(key) != told.get(key))
        raise InputError(
            f"the study {name!r} was begun with other {', '.join(changed)}: give it another name with `--study`, "
            "or the same data and options to go on with it"
        )
    return study, False


def process_name() -> str:
    """Return who this process is, among all that may share a study."""
    return f"{socket.gethostname()}:{os.getpid()}"


def fail_trials_of_dead_processes(study: Any) -> None:
    """Mark as failed what processes of this host that live no more left running."""
    import optuna

    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        host, _, pid = trial.user_attrs.get(PROCESS, "").rpartition(":")
        if host == socket.gethostname() and not _lives(int(pid)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
