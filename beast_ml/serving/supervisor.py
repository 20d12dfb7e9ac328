"""Keeps the workers of one host running: uvicorn's supervisor, with a drain that lets clients leave first."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from beast_ml.errors import InputError, ServingError
from beast_ml.events import events
from beast_ml.serving.worker_scaling import WorkerScaling

__all__ = ["LEAVE_S", "Supervision", "supervise"]

LEAVE_S: Final = 1.0
"""Seconds that a worker told to stop goes on answering, so that balancers and clients see it and go elsewhere."""

_ORPHAN_S: Final = 1.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Supervision:
    """How workers are run.

    Parameters
    ----------
    factory
        Returns a worker's application; it has a method ``drain``.
    host, port
        Where to listen.
    workers
        Processes.
    drain_s
        Seconds that requests in flight get to end.
    scaling
        Adds and removes workers by load; None: there are as many as said, and as SIGTTIN and SIGTTOU change it to.
    """

    factory: Callable[[], Any]
    host: str
    port: int
    workers: int
    drain_s: float
    scaling: WorkerScaling | None = None


class _Server(uvicorn.Server):
    """Told to stop, it first asks its clients to connect anew, which another worker answers; then it closes."""

    _leaving = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain on the first signal; further ones change nothing but an interrupt's, which ends it at once."""
        if self._leaving:
            if sig == signal.SIGINT and self.should_exit:
                self.force_exit = True
            return
        self._leaving = True
        drain = getattr(self.config.loaded_app, "drain", None)
        if drain is not None:
            drain()
        end = threading.Timer(LEAVE_S, super().handle_exit, (sig, frame))
        end.daemon = True
        end.start()


class _Worker(multiprocess.Process):
    """A worker forked from the supervisor, which has imported what serving needs: it is there within a moment.

    It goes when its supervisor is gone: else it would hold the port for nobody.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self.config = config
        self._server: uvicorn.Server | None = None
        self.parent_conn, self.child_conn = Pipe()
        self.process = get_context("fork").Process(target=self.target, args=(sockets,))  # type: ignore[assignment]

    @property
    def server(self) -> uvicorn.Server:
        """The server of this process."""
        if self._server is None:
            self._server = _Server(config=self.config)
        return self._server

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run in the child process."""
        for number in multiprocess.SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # the supervisor's are not this process's
        threading.Thread(target=_stop_as_orphan, args=(os.getppid(),), daemon=True).start()
        super().target(sockets)


class _Supervisor(multiprocess.Multiprocess):
    """uvicorn's: it starts a worker anew when it dies or hangs, and replaces them one by one on SIGHUP.

    SIGTTIN adds a worker and SIGTTOU removes one, and so does load, where that is asked for.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], scaling: WorkerScaling | None = None
    ) -> None:
        super().__init__(config, sockets)
        self._scaling = scaling
        self._leaving: list[multiprocess.Process] = []
        self._used_s: dict[int, float] = {}
        self._looked_at = time.monotonic()
        # It makes workers in four places, always by this name; there is no other way to have it make ours.
        setattr(multiprocess, "Process", _Worker)  # noqa: B010

    def init_processes(self) -> None:
        """Start the workers."""
        gc.collect()
        gc.freeze()  # what is here now is shared with the workers as long as nobody writes to it
        super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, twice a second; add or remove one where load asks for it."""
        super().keep_subprocess_alive()
        self._leaving = [process for process in self._leaving if process.process.is_alive()]
        if self._scaling is None or self.should_exit.is_set():
            return
        step = self._scaling.step(len(self.processes), self._busy())
        if step:
            events.info("serving.scaled", workers=len(self.processes) + step)
        if step > 0:
            self.handle_ttin()
        elif step < 0:
            self.handle_ttou()

    def handle_ttou(self) -> None:
        """Let the newest worker drain and go; unlike uvicorn's own, it does not keep the supervisor waiting."""
        if self.processes_num <= 1:
            return
        self.processes_num -= 1
        process = self.processes.pop()
        process.terminate()
        self._leaving.append(process)

    def terminate_all(self) -> None:
        """Tell the workers to stop, and leave the port to them.

        Each closes it when its clients have left, and then nobody holds it: who connects is refused at once, and knows
        that nothing was done, in place of waiting in a queue that nobody will look at.
        """
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        """Wait for all workers, those on their way out included."""
        super().join_all()
        for process in self._leaving:
            process.join()

    def _busy(self) -> float:
        """Return the workers' mean share of a core since the last look; of a new one nothing is known yet."""
        now, used = time.monotonic(), {}
        for process in self.processes:
            if process.pid is not None and (seconds := _cpu_s(process.pid)) is not None:
                used[process.pid] = seconds
        spent = [seconds - self._used_s[pid] for pid, seconds in used.items() if pid in self._used_s]
        passed_s = max(now - self._looked_at, 1e-3)
        self._used_s, self._looked_at = used, now
        return sum(spent) / len(spent) / passed_s if spent else 0.0


def supervise(supervision: Supervision) -> None:
    """Serve until told to stop: SIGTERM drains and ends, SIGHUP replaces the workers one by one.

    Raises
    ------
    InputError
        If the port cannot be listened at, or the system does not tell what scaling needs.
    ServingError
        If a worker cannot start.
    """
    config = uvicorn.Config(
        supervision.factory,
        factory=True,
        host=supervision.host,
        port=supervision.port,
        workers=supervision.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="critical",  # workers say themselves, in one line, why they cannot start
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=4096,
        timeout_graceful_shutdown=max(1, round(supervision.drain_s)),
    )
    if supervision.scaling is not None and _cpu_s(os.getpid()) is None:
        raise InputError("this system does not say in /proc how busy workers are: leave `serving.workers_max` out")
    listening = _listening(supervision.host, supervision.port)
    supervisor = _Supervisor(config, [listening], supervision.scaling)
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise ServingError("a worker could not start: it has said why above")


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen at {host}:{port} ({error}): choose another --port or --host") from error
    # Forked workers have it anyway; the programs that they start must not: they would hold the port of a dead server.
    return listener


def _cpu_s(pid: int) -> float | None:
    """Return the seconds of CPU time that a process has used; None where it is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stop_as_orphan(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_S)
    os.kill(os.getpid(), signal.SIGTERM)
