"""What requests met between a fault and the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from beast_ml.benchmarks.chaos.traffic import Reply
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED, UNANSWERED

__all__ = ["FaultRow", "Window", "longest_gap", "recovery", "row_of"]

_NO_STATUS = {CLOSED: "closed", REFUSED: "refused", UNANSWERED: "unanswered"}


@dataclass(frozen=True)
class Window:
    """When a fault was done and undone, on `time.monotonic`'s clock.

    Parameters
    ----------
    name
        The fault.
    injected_at, mended_at, ended_at
        When it began to be done, when its cause was gone, and when the next one may begin.
    wrong
        What was found wrong, in words.
    """

    name: str
    injected_at: float
    mended_at: float
    ended_at: float
    wrong: tuple[str, ...] = ()

    def meets(self, reply: Reply) -> bool:
        """Return whether a request was on its way when the fault came, or was due before the next one may."""
        return reply.answered.ended_at >= self.injected_at and reply.answered.due_at < self.ended_at


class FaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault did to requests.

    Parameters
    ----------
    name
        The fault.
    times
        How often it was staged; counts are sums, times the longest.
    requests, answered
        That were on their way from the fault to the end of its window; of these, answered with 2xx.
    over_budget
        Refused because the tight budget was spent, as they ought to be.
    failed
        What happened in place of an answer -> how often.
    share_while
        Answered, or over budget, of those due before its cause was gone; None of a moment's act.
    gap_s
        The longest time without an answer.
    recovery_s
        From when its cause was gone until no request failed any more.
    worst_s
        The slowest answer; None where there is none.
    wrong
        Which invariants did not hold, in words.
    """

    name: str
    times: int
    requests: int
    answered: int
    over_budget: int
    failed: dict[str, int]
    share_while: float | None
    gap_s: float
    recovery_s: float
    worst_s: float | None
    wrong: tuple[str, ...]

    @property
    def n_failed(self) -> int:
        """How many failed."""
        return sum(self.failed.values())


def row_of(windows: Sequence[Window], replies: Iterable[Reply]) -> FaultRow:
    """Return what all windows of one fault show."""
    everything = sorted(replies, key=lambda reply: reply.answered.due_at)
    inside = [[r for r in everything if w.meets(r)] for w in windows]
    flat = [reply for each in inside for reply in each]
    lasting = [(w, each) for w, each in zip(windows, inside, strict=True) if w.mended_at > w.injected_at]
    during = [r for w, each in lasting for r in each if r.answered.due_at < w.mended_at]
    failed = Counter(str(_NO_STATUS.get(r.answered.status, r.answered.status)) for r in flat if not r.is_as_wanted)
    took = [r.answered.ended_at - r.answered.due_at for r in flat if r.is_answered]
    return FaultRow(
        name=windows[0].name,
        times=len(windows),
        requests=len(flat),
        answered=sum(r.is_answered for r in flat),
        over_budget=sum(r.is_as_wanted and not r.is_answered for r in flat),
        failed=dict(failed.most_common()),
        share_while=sum(r.is_as_wanted for r in during) / len(during) if during else None,
        gap_s=max(longest_gap(w, everything) for w in windows),
        recovery_s=max(recovery(w, each) for w, each in zip(windows, inside, strict=True)),
        worst_s=max(took, default=None),
        wrong=tuple(what for w in windows for what in w.wrong),
    )


def longest_gap(window: Window, replies: Iterable[Reply]) -> float:
    """Return the longest time within a window in which no answer came, in seconds."""
    came = sorted(
        r.answered.ended_at
        for r in replies
        if r.is_answered and window.injected_at <= r.answered.ended_at < window.ended_at
    )
    times = [window.injected_at, *came, window.ended_at]
    return max(after - before for before, after in pairwise(times))


def recovery(window: Window, replies: Iterable[Reply]) -> float:
    """Return the seconds from when the cause was gone until the last request that failed was due; 0 where none did."""
    late = [r.answered.due_at for r in replies if not r.is_as_wanted and r.answered.due_at >= window.mended_at]
    return max(late, default=window.mended_at) - window.mended_at
