"""Three replicas on one machine, as three hosts would be: behind HAProxy, with one Valkey and one PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port, lasting_port, on_cores
from beast_ml.benchmarks.serving.shared_services import PostgresServer, ValkeyServer
from beast_ml.benchmarks.serving.subjects import beast
from beast_ml.errors import UnavailableError

__all__ = ["N_REPLICAS", "Replicas", "haproxy", "replicas"]

N_REPLICAS: Final = 3
"""As many as the configuration that is shipped names."""
_WAIT_S: Final = 60.0
_LOOK_S: Final = 0.02
_BUDGETS: Final = json.dumps([{"scope": "tenant", "period": "month", "limit_usd": 1_000_000}])


def haproxy() -> str | None:
    """Return where HAProxy is; None where it is not installed."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


class Replicas:
    """The replicas and the proxy before them, all running; `replicas` makes one.

    Parameters
    ----------
    folder
        Each replica's is below it.
    environment
        What the replicas share.
    cores
        To run on.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], cores: Sequence[int]) -> None:
        self._folder, self._environment, self._cores = folder, environment, cores
        self._ports = [lasting_port() for _ in range(N_REPLICAS)]
        self._servers: dict[int, ServerProcess] = {}
        self._proxy: subprocess.Popen[bytes] | None = None
        self.port = lasting_port()
        self._stats_port = free_port()

    def start(self, which: int, router: Path) -> None:
        """Start a replica of a router; return once it answers and the proxy, where it runs, sends it requests."""
        folder = self._folder / "replicas" / str(which)
        subject = beast(str(router), self._environment)
        self._servers[which] = subject.start(folder, cores=self._cores, port=self._ports[which])
        if self._proxy is not None:
            self._await_up(which)

    def start_proxy(self) -> None:
        """Start HAProxy with the configuration that is shipped; return once it sends requests to all replicas.

        Raises
        ------
        UnavailableError
            If HAProxy is not installed, or does not find the replicas.
        """
        binary = haproxy()
        if binary is None:
            raise UnavailableError("HAProxy is not installed: apt-get install haproxy")
        own = self._folder / "global.cfg"
        own.write_text(f"global\n    stats socket ipv4@127.0.0.1:{self._stats_port} level user\n")
        names = {f"BEAST_REPLICA_{i + 1}": f"127.0.0.1:{port}" for i, port in enumerate(self._ports)}
        environment = {**os.environ, "BEAST_BIND": f"127.0.0.1:{self.port}", **names}
        with (
            as_file(files("beast_ml.serving") / "deploy" / "haproxy.cfg") as shipped,
            (self._folder / "haproxy.log").open("ab") as log,
            on_cores(self._cores),
        ):
            self._proxy = subprocess.Popen(
                [binary, "-db", "-f", str(own), "-f", str(shipped)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            for which in self._servers:
                self._await_up(which)

    def kill(self, which: int) -> None:
        """End all processes of a replica at once."""
        self._servers[which].kill()

    def drain(self, which: int) -> None:
        """Ask a replica to end, as an operator does."""
        self._servers[which].process.terminate()

    def has_ended(self, which: int) -> bool:
        """Return whether a replica has ended."""
        return self._servers[which].process.poll() is not None

    def upgrade(self, router: Path) -> None:
        """Replace one replica after another: it drains, ends, and comes back with another router."""
        for which in range(N_REPLICAS):
            self._servers[which].stop()
            self.start(which, router)

    def is_up(self, which: int) -> bool:
        """Return whether the proxy sends requests to a replica."""
        with socket.create_connection(("127.0.0.1", self._stats_port), timeout=5.0) as asked:
            asked.sendall(b"show stat\n")
            said = b"".join(iter(lambda: asked.recv(1 << 16), b"")).decode()
        rows = [row for row in csv.DictReader(io.StringIO(said)) if row["# pxname"] == "replicas"]
        return rows[which]["status"].startswith("UP")

    def stop(self) -> None:
        """End everything."""
        for server in self._servers.values():
            server.stop()
        if self._proxy is not None:
            self._proxy.terminate()
            self._proxy.wait()

    def _await_up(self, which: int) -> None:
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            with suppress(OSError):
                if self.is_up(which):
                    return
            time.sleep(_LOOK_S)
        raise UnavailableError(f"HAProxy does not send requests to replica {which + 1}: see {self._folder}")


@contextmanager
def replicas(folder: Path, router: Path, cores: Sequence[int]) -> Iterator[Replicas]:
    """Run replicas of a router, the proxy, and what they share; all end with it.

    Raises
    ------
    UnavailableError, MissingExtraError
        If HAProxy, Valkey, PostgreSQL or a replica cannot be started.
    """
    with ExitStack() as stack:
        if haproxy() is None:
            raise UnavailableError("HAProxy is not installed: apt-get install haproxy")
        valkey, postgres = ValkeyServer(folder / "valkey"), PostgresServer()
        valkey.start()
        stack.callback(valkey.kill)
        stack.callback(postgres.close)
        postgres.start()
        environment = {
            "BEAST_REDIS_URL": valkey.url,
            "BEAST_DATABASE_URL": postgres.url,
            "BEAST_SECRET": secrets.token_hex(32),
            "BEAST_ADMIN_KEY": secrets.token_hex(32),
            "BEAST_BUDGETS": _BUDGETS,
            "BEAST_SERVING__COMPACT_S": "0",
        }
        found = Replicas(folder, environment, cores)
        stack.callback(found.stop)
        for which in range(N_REPLICAS):
            found.start(which, router)
        found.start_proxy()
        yield found
