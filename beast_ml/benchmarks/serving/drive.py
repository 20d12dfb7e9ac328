"""Load on a server, and what its processes used meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from beast_ml.benchmarks.serving.load_plan import LoadPlan, LoadResult
from beast_ml.benchmarks.serving.processes import ServerProcess, Usage, on_cores
from beast_ml.benchmarks.serving.wrk import run_wrk
from beast_ml.errors import UnavailableError

__all__ = ["Driver", "Measured"]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What load on a server showed.

    Parameters
    ----------
    load
        What the generator found.
    worker_cpu_us
        Microseconds of CPU time of all workers a request.
    other_cpu_us
        The same of the server's other processes.
    worker_mb
        Resident memory of the largest worker at the end, in megabytes.
    other_mb
        Resident memory of all other processes of the server.
    busy
        Share of its time that each worker was on a core, the busiest first.
    """

    load: LoadResult
    worker_cpu_us: float
    other_cpu_us: float
    worker_mb: float
    other_mb: float
    busy: tuple[float, ...]


class Driver:
    """Sends load from another process and watches the server.

    Parameters
    ----------
    folder
        For what generators write.
    cores
        The generator may run on; None: all.
    wrk
        Whether wrk drives closed loops.
    """

    def __init__(self, folder: Path, cores: Sequence[int] | None = None, *, wrk: bool = False) -> None:
        self._folder = folder
        self._cores = cores
        self._wrk = wrk

    def drive(self, server: ServerProcess, plan: LoadPlan) -> Measured:
        """Return what was measured.

        Raises
        ------
        InputError, UnavailableError
            If the generator fails.
        """
        if plan.rate is None and self._wrk and not (plan.records or plan.ids):
            return self._with_wrk(server, plan)
        with RunningLoad.start(self._folder, plan, self._cores) as running:
            running.wait_for("measuring")
            before = server.usage()
            running.wait_for("measured")
            after = server.usage()
            load = running.result()
        return _measured(load, before, after, server.workers())

    def start(self, plan: LoadPlan) -> RunningLoad:
        """Return a generator that is on its way, for those who do things to the server meanwhile."""
        return RunningLoad.start(self._folder, plan, self._cores)

    def _with_wrk(self, server: ServerProcess, plan: LoadPlan) -> Measured:
        script, used = self._folder / "load.lua", 0
        if plan.warm_s:
            warm = msgspec.structs.replace(plan, measure_s=max(plan.warm_s, 1.0))
            used = run_wrk(warm, script, self._cores).used
        before = server.usage()
        load = run_wrk(msgspec.structs.replace(plan, skip=plan.skip + used), script, self._cores)
        after = server.usage()
        return _measured(msgspec.structs.replace(load, used=load.used + used), before, after, server.workers())


class RunningLoad:
    """A generator at work in another process.

    Parameters
    ----------
    process
        The generator.
    answer
        File for its result.
    """

    def __init__(self, process: subprocess.Popen[bytes], answer: Path) -> None:
        self._process = process
        self._answer = answer

    @classmethod
    def start(cls, folder: Path, plan: LoadPlan, cores: Sequence[int] | None = None) -> RunningLoad:
        """Start a generator."""
        folder.mkdir(parents=True, exist_ok=True)
        asked, answer = folder / "plan.json", folder / "result.json"
        asked.write_bytes(msgspec.json.encode(plan))
        answer.unlink(missing_ok=True)
        with on_cores(cores):
            process = subprocess.Popen(
                [sys.executable, "-m", "beast_ml.benchmarks.serving.generator", str(asked), str(answer)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        return cls(process, answer)

    def wait_for(self, word: str) -> None:
        """Return when the generator says a word.

        Raises
        ------
        UnavailableError
            If it ends before.
        """
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        for line in self._process.stdout:
            if line.strip() == word.encode():
                return
        self._fail()

    def stop_sending(self) -> None:
        """Let it send nothing more; it still waits for answers."""
        self._process.send_signal(signal.SIGUSR1)

    def result(self) -> LoadResult:
        """Return what it found, once it has ended.

        Raises
        ------
        UnavailableError
            If it failed.
        """
        self._process.wait()
        if self._process.returncode:
            self._fail()
        return msgspec.json.decode(self._answer.read_bytes(), type=LoadResult)

    def _fail(self) -> None:
        _, said = self._process.communicate()
        last = said.decode(errors="replace").strip().splitlines()
        raise UnavailableError(f"the load generator failed: {last[-1] if last else self._process.returncode}")

    def __enter__(self) -> RunningLoad:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _measured(
    load: LoadResult, before: Mapping[int, Usage], after: Mapping[int, Usage], workers: Sequence[int]
) -> Measured:
    spent = {pid: usage.cpu_s - (before[pid].cpu_s if pid in before else 0.0) for pid, usage in after.items()}
    n_answered = max(load.answered, 1)

    def cpu_us(which: Callable[[int], bool]) -> float:
        return sum(seconds for pid, seconds in spent.items() if which(pid)) / n_answered * 1e6

    def is_worker(pid: int) -> bool:
        return pid in workers

    return Measured(
        load=load,
        worker_cpu_us=cpu_us(is_worker),
        other_cpu_us=cpu_us(lambda pid: not is_worker(pid)),
        worker_mb=max((usage.rss_bytes for pid, usage in after.items() if is_worker(pid)), default=0) / 1e6,
        other_mb=sum(usage.rss_bytes for pid, usage in after.items() if not is_worker(pid)) / 1e6,
        busy=tuple(sorted((spent[pid] / load.seconds for pid in workers if pid in spent), reverse=True)),
    )
