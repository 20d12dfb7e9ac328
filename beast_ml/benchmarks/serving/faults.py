"""Steady load while something breaks: what failed, what was lost, how long until all was well again."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED, LoadPlan, Records
from beast_ml.logs.segment_reader import rows_in_segments

__all__ = [
    "FaultResult",
    "Ground",
    "Logged",
    "Staged",
    "Timing",
    "UnderLoad",
    "logged_rows",
    "run_fault",
]

_IN_FLIGHT_S: Final = 0.25
_LOST: Final = (CLOSED, 502)
"""How a killed server's requests end: on its own connection, and on that of a proxy before it."""
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Timing:
    """How long each phase of a fault is.

    Parameters
    ----------
    before_s
        Steady load before anything happens.
    broken_s
        From the fault to its mending, where somebody has to mend it.
    after_s
        Load after that.
    rate
        Requests a second all the time.
    """

    before_s: float
    broken_s: float
    after_s: float
    rate: float


@dataclass(frozen=True)
class Ground:
    """What all faults need.

    Parameters
    ----------
    bundles
        Two routers.
    bodies
        File of bodies for ``/v1/route``.
    cores
        To run on.
    folder
        For state and logs.
    timing
        Of the phases.
    """

    bundles: tuple[Path, Path]
    bodies: Path
    cores: Sequence[int]
    folder: Path
    timing: Timing


@dataclass(frozen=True)
class Logged:
    """A row of the request log, as far as it matters here.

    Parameters
    ----------
    request_id, policy_version, at
        Its id, the bundle that decided, and when it was received.
    """

    request_id: str
    policy_version: str
    at: float


class UnderLoad(Protocol):
    """What load is sent to: a server, or a proxy before several."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    def stop(self) -> object:
        """End it, and all that it needs."""
        ...


@dataclass(frozen=True)
class Staged:
    """A server on which something is about to break.

    Parameters
    ----------
    server
        The server.
    segments
        Folder below which its log is written.
    workers
        Its workers.
    break_it
        Does the damage.
    mend_it
        Ends its cause; None: the server has to cope alone.
    is_back
        Whether all is well again, asked while load goes on; None: `back_at` tells afterwards.
    back_at
        When all was well again, on the wall clock, from the rows of the log and the wall clock's time of the fault (of
        its mending, where there is one); None: it never was.
    kills
        Whether requests in flight at the fault may be lost.
    ends
        Whether the server ends for good: what is refused after that is no failure.
    leaves
        Whether a load balancer would send it nothing more; asked from the fault on. None: load goes on.
    lasts_s
        Longest that `break_it` takes where it is no moment's act: load goes on until it is done, and after.
    """

    server: UnderLoad
    segments: Path
    workers: int
    break_it: Callable[[], None]
    mend_it: Callable[[], None] | None = None
    is_back: Callable[[], bool] | None = None
    back_at: Callable[[Sequence[Logged], float], float | None] | None = None
    kills: bool = False
    ends: bool = False
    leaves: Callable[[], bool] | None = None
    lasts_s: float = 0.0


class FaultResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault did.

    Parameters
    ----------
    name
        The fault.
    rate, workers
        The load and who answered it.
    sent
        Requests that were due.
    answered
        Of these, with 2xx.
    failures
        What happened in place of an answer -> how often, in-flight ones of a killed worker and refusals by a server
        that had ended apart.
    in_flight
        Requests that were on a connection that a killed worker held.
    after_end
        Requests refused once the server had ended as it was told to.
    logged
        Acknowledged requests whose row is in the log.
    lost
        Those whose row is not.
    repeated
        Rows of the log whose id another row has, too.
    recovery_s
        From the fault, or from its mending, until all was well and no request failed any more; None: it did not come.
    worst_s
        The slowest answer.
    """

    name: str
    rate: float
    workers: int
    sent: int
    answered: int
    failures: dict[str, int]
    in_flight: int
    after_end: int
    logged: int
    lost: int
    repeated: int
    recovery_s: float | None
    worst_s: float

    @property
    def failed(self) -> int:
        """Requests that failed and should not have."""
        return sum(self.failures.values())


def run_fault(name: str, stage: Callable[[Ground], AbstractContextManager[Staged]], ground: Ground) -> FaultResult:
    """Return what a fault does to a server under load.

    Raises
    ------
    UnavailableError
        If the server or the generator fails.
    """
    timing, folder = ground.timing, ground.folder / name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    records, ids = folder / "records.npz", folder / "ids.txt"
    with stage(replace(ground, folder=folder)) as staged:
        broken_s = timing.broken_s if staged.mend_it else 0.0
        plan = LoadPlan(
            port=staged.server.port,
            path="/v1/route",
            bodies=str(ground.bodies),
            repeat=True,
            rate=timing.rate,
            connections=32,
            warm_s=timing.before_s,
            measure_s=broken_s + staged.lasts_s + timing.after_s,
            records=str(records),
            ids=str(ids),
        )
        with Driver(folder).start(plan) as running:
            running.wait_for("measuring")
            broke = (time.monotonic(), time.time())
            staged.break_it()
            if staged.mend_it is not None:
                time.sleep(max(broken_s - (time.monotonic() - broke[0]), 0.0))
                staged.mend_it()
            if staged.leaves is not None and _await(staged.leaves):
                running.stop_sending()
            # What is read from the log afterwards counts from when the act was done.
            is_done = staged.mend_it is not None or staged.back_at is not None or staged.lasts_s > 0
            mended = (time.monotonic(), time.time()) if is_done else broke
            back_s = None
            if staged.is_back is not None and _await(staged.is_back):
                back_s = time.monotonic() - mended[0]
            if staged.lasts_s:
                time.sleep(timing.after_s)
                running.stop_sending()
            running.wait_for("measured")
            running.result()
        staged.server.stop()
        found, rows = Records.load(str(records)), list(logged_rows(staged.segments))
        if staged.back_at is not None:
            at = staged.back_at(rows, mended[1])
            back_s = None if at is None else max(at - mended[1], 0.0)
    return _result(name, staged, found, ids.read_text().split(), rows, (broke[0], mended[0]), back_s, timing.rate)


def _await(is_back: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if is_back():
            return True
        time.sleep(_LOOK_S)
    return False


def _result(
    name: str,
    staged: Staged,
    found: Records,
    acknowledged: Sequence[str],
    rows: Sequence[Logged],
    times: tuple[float, float],
    back_s: float | None,
    rate: float,
) -> FaultResult:
    at, mended = (each - found.began_at for each in times)
    excused = np.zeros(found.status.size, dtype=bool)
    if staged.kills:
        excused = np.isin(found.status, _LOST) & (np.abs(found.due_s - at) <= _IN_FLIGHT_S)
    after_end = (found.status == REFUSED) & (found.due_s > at) if staged.ends else np.zeros_like(excused)
    everything = msgspec.structs.replace(found, measured=~(excused | after_end))
    failed_late = everything.measured & ~found.answered & (found.due_s > mended)
    if back_s is not None and failed_late.any():
        back_s = max(back_s, float(found.due_s[failed_late].max()) - mended)
    counted = Counter(row.request_id for row in rows)
    logged = sum(request_id in counted for request_id in acknowledged)
    took = (found.done_s - found.due_s)[found.answered]
    return FaultResult(
        name=name,
        rate=rate,
        workers=staged.workers,
        sent=found.status.size,
        answered=int(found.answered.sum()),
        failures=everything.failures(),
        in_flight=int(excused.sum()),
        after_end=int(after_end.sum()),
        logged=logged,
        lost=len(acknowledged) - logged,
        repeated=sum(n - 1 for n in counted.values()),
        recovery_s=back_s,
        worst_s=float(took.max()) if took.size else float("nan"),
    )


def logged_rows(segments: Path) -> Iterator[Logged]:
    """Yield the requests in a folder of segments; a torn last line is none."""
    for row in rows_in_segments(segments):
        received = datetime.fromisoformat(row["received_at"]).timestamp()
        yield Logged(row["request_id"], row.get("policy_version") or "", received)
