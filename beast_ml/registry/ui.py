"""MLflow's own server on the configured store, as a child process."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from beast_ml.errors import InputError, MissingExtraError, RegistryUnavailableError
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.environment import QUIET

__all__ = ["UiServer", "training_page", "ui_server"]

_PATIENCE_S: Final = 90.0  # a new store is migrated first, and the server imports a lot
_ANSWER_S: Final = 10.0
_HOST: Final = "127.0.0.1"


class UiServer:
    """A running server.

    Parameters
    ----------
    url
        Where it answers.
    process
        Its process, the head of a process group of its own.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self._process = process

    def wait(self) -> int:
        """Block until the server ends by itself and return its exit code."""
        return self._process.wait()


def training_page(url: str, experiment: str) -> str:
    """Return the address of an experiment's list of runs; of the list of experiments before the first training.

    The query is needed: the UI opens in its view for chat applications otherwise, which hides the model registry.

    Raises
    ------
    RegistryUnavailableError
        If the server does not answer.
    """
    try:
        answer = httpx2.get(
            f"{url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": experiment}, timeout=_ANSWER_S
        )
        known = answer.json()["experiment"]["experiment_id"] if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        raise RegistryUnavailableError(
            f"the MLflow server at {url} does not answer ({error}): start it (`mlflow server`)"
        ) from error
    runs = f"/{known}/runs" if known else ""
    return f"{url}/#/experiments{runs}?workflowType=machine_learning"


@contextmanager
def ui_server(config: TrackingConfig, port: int) -> Iterator[UiServer]:
    """Start the UI on a SQLite store, yield it once it answers, stop it with the block.

    It listens on this machine only; it has no login.

    Raises
    ------
    InputError
        If the store is a server, which has a UI already, or the port is taken.
    MissingExtraError
        If mlflow is not installed.
    RegistryUnavailableError
        If it ends, or does not answer in time.
    """
    if config.is_server:
        raise InputError(f"{config.shown} is an MLflow server and has a UI already: open it in a browser")
    if importlib.util.find_spec("mlflow") is None:
        raise MissingExtraError("the MLflow UI", "train")
    _check_free(port)
    url = f"http://{_HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", config.uri, "--artifacts-destination", str(config.artifacts)]
    with tempfile.TemporaryDirectory(prefix="beast-ui-") as scratch:
        log = Path(scratch) / "server.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=QUIET | dict(os.environ),
                start_new_session=True,  # so that its workers can be stopped with it
            )
        try:
            _await_answer(process, url, log)
            yield UiServer(url, process)
        finally:
            _stop(process)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be listened on ({error}): name a free one with --port") from error


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    reason = f"it did not answer within {_PATIENCE_S:g} s"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = f"it ended with code {process.returncode}"
            break
        try:
            if httpx2.get(f"{url}/health", timeout=2.0).status_code == 200:
                return
        except httpx2.HTTPError:
            pass  # not listening yet
        time.sleep(0.2)
    last_words = " ".join(log.read_text("utf-8", "replace").split())[-500:]
    raise RegistryUnavailableError(f"the MLflow UI did not start, {reason}: {last_words or 'it printed nothing'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            break  # the whole group is gone
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
