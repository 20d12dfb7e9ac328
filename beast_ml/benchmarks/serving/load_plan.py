"""What a generator is asked to send, and what it found."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["CLOSED", "REFUSED", "UNANSWERED", "Answered", "LoadPlan", "LoadResult", "Quantiles", "Records"]

CLOSED, REFUSED, UNANSWERED = -1, -2, -3
"""Stand for a status where there is none: the connection ended before an answer, none was to be had, time ran out."""

_NAMES = {CLOSED: "closed", REFUSED: "refused", UNANSWERED: "unanswered"}


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send.

    Parameters
    ----------
    port
        Of the server on this machine.
    path
        What is posted to.
    bodies
        File of JSON bodies, one a line.
    skip
        Lines that were sent before.
    repeat
        Begin again at the end of the file; otherwise running out of bodies is an error, so that none repeats unasked.
    rate
        Requests a second, sent whether or not earlier ones were answered (open loop); None: each connection sends as
        soon as it has its answer (closed loop).
    even
        Send at even distances; otherwise at those of a Poisson process of this rate, as independent users would.
    connections
        Kept alive.
    warm_s, measure_s
        Seconds before what is measured, and of it.
    wait_s
        Seconds to wait for answers at the end.
    headers
        Beside content type and length.
    headers_in_turn
        Beside these; the first request carries the first of them, the next one the next, over and over.
    seed
        Of the Poisson process.
    records
        ``.npz`` file for every single request; None: none.
    ids
        File for the ids of acknowledged requests, one a line; None: none.
    answers
        File for how each request ended, as it ends: an `Answered` a line; None: none.
    """

    port: int
    path: str
    bodies: str
    skip: int = 0
    repeat: bool = False
    rate: float | None = None
    even: bool = False
    connections: int = 64
    warm_s: float = 1.0
    measure_s: float = 5.0
    wait_s: float = 5.0
    headers: dict[str, str] = {}
    headers_in_turn: tuple[dict[str, str], ...] = ()
    seed: int = 0
    records: str | None = None
    ids: str | None = None
    answers: str | None = None


class Answered(msgspec.Struct, frozen=True):
    """How a request ended, with what was answered.

    Parameters
    ----------
    n
        Which request it was, from 0.
    due_at, ended_at
        When it was due and when it ended, on `time.monotonic`'s clock.
    status
        As in `Records`.
    head, body
        Of the answer; empty where there is none.
    """

    n: int
    due_at: float
    ended_at: float
    status: int
    head: str = ""
    body: str = ""


class Quantiles(msgspec.Struct, frozen=True):
    """How long something takes, in microseconds.

    Parameters
    ----------
    p50_us, p95_us, p99_us, max_us
        Median, upper quantiles, and the longest.
    """

    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Quantiles | None:
        """Return those of some times; None of none."""
        if not seconds.size:
            return None
        p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e6
        return cls(float(p50), float(p95), float(p99), float(seconds.max() * 1e6))


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found while it was measured.

    Parameters
    ----------
    generator
        What sent the requests.
    seconds
        How long it was measured.
    answered
        Answers of status 2xx that were due (open loop) or came (closed loop) in that time.
    failures
        Status, or what happened in its place, -> how often; empty where every request was answered with 2xx.
    latency, first_byte
        From when a request was due to the end of its answer, and to its first byte.
    lag_p99_us
        How late the generator itself sent, open loop.
    generator_cpu_us
        Microseconds of CPU time that the generator took a request.
    used
        Lines of the file of bodies that were sent, with the warm-up.
    request_bytes, answer_bytes
        Mean of all that were sent, and of all that were answered, headers and all; None: not counted.
    """

    generator: str
    seconds: float
    answered: int
    failures: dict[str, int]
    latency: Quantiles | None
    first_byte: Quantiles | None = None
    lag_p99_us: float | None = None
    generator_cpu_us: float | None = None
    used: int = 0
    request_bytes: float | None = None
    answer_bytes: float | None = None

    @property
    def per_s(self) -> float:
        """Requests answered a second."""
        return self.answered / self.seconds

    @property
    def failed(self) -> int:
        """How many were not answered with 2xx."""
        return sum(self.failures.values())


class Records(msgspec.Struct, frozen=True):
    """Every request of a run, warm-up included; times in seconds since `began_at`, of the generator's monotonic clock.

    Parameters
    ----------
    began_at
        When the run began, on `time.monotonic`'s clock, which all processes of a machine share.
    due_s, first_s, done_s
        When each was due, and when the first and the last byte of its answer came; NaN for none.
    lag_s
        How late it was sent although a connection was free.
    status
        HTTP status, or one of `CLOSED`, `REFUSED`, `UNANSWERED`.
    measured
        Whether it belongs to what is measured.
    """

    began_at: float
    due_s: NDArray[np.float64]
    first_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    lag_s: NDArray[np.float64]
    status: NDArray[np.int64]
    measured: NDArray[np.bool_]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which were answered with 2xx."""
        return (self.status >= 200) & (self.status < 300)

    def failures(self) -> dict[str, int]:
        """Return what happened to the measured requests that were not answered with 2xx, and how often."""
        values, counts = np.unique(self.status[self.measured & ~self.answered], return_counts=True)
        return {_NAMES.get(int(value), str(value)): int(n) for value, n in zip(values, counts, strict=True)}

    def save(self, path: str) -> None:
        """Write them to a ``.npz``."""
        np.savez_compressed(path, allow_pickle=False, **msgspec.structs.asdict(self))

    @classmethod
    def load(cls, path: str) -> Records:
        """Return what `save` wrote."""
        with np.load(path, allow_pickle=False) as found:
            columns: dict[str, Any] = {name: found[name] for name in found.files}
        return cls(**{**columns, "began_at": float(columns["began_at"])})
