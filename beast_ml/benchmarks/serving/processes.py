"""A server as a child process: started, watched through /proc, stopped."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from beast_ml.errors import UnavailableError

__all__ = ["ServerProcess", "Usage", "free_port", "lasting_port", "on_cores", "process_tree", "usage_of"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LOOK_S: Final = 0.02
_TAIL: Final = 2000
_LASTING_PORTS: Final = range(20_000, 32_000)


@dataclass(frozen=True)
class Usage:
    """What a process has used: CPU seconds since it began, and bytes of memory now.

    Parameters
    ----------
    cpu_s, rss_bytes
        In this order.
    """

    cpu_s: float
    rss_bytes: int


class ServerProcess:
    """A server and its children.

    Parameters
    ----------
    process
        What was started.
    port
        Where it listens.
    log
        File with what it wrote.
    ready_s
        Seconds from its start to its readiness.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, ready_s: float) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.ready_s = ready_s
        self._is_over = False

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        ready: str = "/readyz",
        within_s: float = 60.0,
        cores: Sequence[int] | None = None,
        workers: int = 1,
        folder: Path | None = None,
    ) -> Self:
        """Return a server once it is ready.

        Parameters
        ----------
        command
            Starts it.
        port
            Where it will listen.
        log
            File for what it writes.
        environment
            Beside this process's, less its ``BEAST_*`` variables.
        ready
            Path that answers 200 when it is ready.
        within_s
            Seconds that takes at most.
        cores
            It may run on; None: all.
        workers
            Processes that must hold the listening socket before it counts as ready.
        folder
            Working directory; settings files are looked for there.

        Raises
        ------
        UnavailableError
            If it ends or is not ready in time; with the end of its log.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BEAST_")}
        log.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with log.open("ab") as out, on_cores(cores):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**inherited, **(environment or {})},
                start_new_session=True,
                cwd=folder,
            )
        server = cls(process, port, log, 0.0)
        try:
            while time.monotonic() - began < within_s and process.poll() is None:
                if server.answers(ready) and len(server.workers()) >= workers:
                    server.ready_s = time.monotonic() - began
                    return server
                time.sleep(_LOOK_S)
        except BaseException:  # nobody has it yet who would end it, and it is in a session of its own
            server.kill()
            raise
        server.kill()
        tail = log.read_bytes()[-_TAIL:].decode(errors="replace")
        raise UnavailableError(
            f"{' '.join(command[:5])} ... was not ready after {time.monotonic() - began:.1f} s "
            f"(exit code {process.returncode}); the end of {log}:\n{tail}"
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of a GET.

        Raises
        ------
        OSError
            If there is no answer.
        """
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of a POST of JSON; see `get`."""
        return self.ask("POST", path, body, {"content-type": "application/json", **(headers or {})})

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of a request; see `get`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        """Return whether a GET of a path is answered with 200."""
        try:
            return self.get(path)[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def pids(self) -> list[int]:
        """Return the process and all that it started, and these, in order of their ids."""
        return process_tree(self.process.pid)

    def workers(self) -> list[int]:
        """Return which of them answer requests: they hold the listening socket, and are not the parent of others."""
        listening = _listening(self.port)
        holders = [pid for pid in self.pids() if listening & _sockets(pid)]
        serving = [pid for pid in holders if pid != self.process.pid]
        return serving or holders

    def usage(self) -> dict[int, Usage]:
        """Return what each process has used."""
        return usage_of(self.pids())

    def stop(self, within_s: float = 40.0) -> float:
        """Ask it to end, and return how many seconds that took; what does not end is killed."""
        began = time.monotonic()
        with suppress(ProcessLookupError):
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(within_s)
        took = time.monotonic() - began
        self.kill()
        return took

    def kill(self) -> None:
        """End it and what it started at once; once it is over, its ids may belong to others, and nothing is done."""
        if self._is_over:
            return
        for pid in self.pids():
            if pid != self.process.pid or self.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what outlived its parent
        self.process.wait()
        self._is_over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def lasting_port() -> int:
    """Return a port for a server that ends and comes back: none that the system gives to connections meanwhile."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_LASTING_PORTS)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port


def process_tree(root: int) -> list[int]:
    """Return a process and all that it started, and these, in order of their ids."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, [])
    return sorted(found)


def usage_of(pids: Sequence[int]) -> dict[int, Usage]:
    """Return what each process has used, of those that are there."""
    found = {pid: _usage(pid) for pid in pids}
    return {pid: usage for pid, usage in found.items() if usage is not None}


@contextmanager
def on_cores(cores: Sequence[int] | None) -> Iterator[None]:
    """Let children started inside run on these cores only; on all with None."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(path.parent.name), int(_fields(path)[1])


def _fields(path: Path) -> list[str]:
    """Return what follows the name of the process, which may hold anything."""
    return path.read_text(errors="replace").rpartition(")")[2].split()


def _usage(pid: int) -> Usage | None:
    try:
        fields = _fields(Path(f"/proc/{pid}/stat"))
        resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:  # it has ended
        return None
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(resident) * _PAGE)


def _listening(port: int) -> set[str]:
    """Return the inodes of sockets that listen on a port."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
            found.add(columns[9])
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found
