"""Learned lives against one fixed life for all, at an equal hit rate: how many stale answers are served.

The first half of a stream is replayed with the fixed life. Whenever an answer expired and was made again, the two are
compared: those observations are all that the lives are learned from. The second half is replayed with the fixed life
and with the learned ones, whose stale share is set so that they hit at least as often.
"""

from __future__ import annotations

from dataclasses import dataclass

from beast_ml.benchmarks.cache.plain_cache import PlainCache
from beast_ml.cache.lifetimes import AnswerAge, Lifetimes, fit_lifetimes
from beast_ml.cache.replay.replay import ReplayReport, replay
from beast_ml.cache.replay.stream import Stream, StreamRequest

__all__ = ["LivesComparison", "compare_lives"]

_STEPS = 9


@dataclass(frozen=True)
class LivesComparison:
    """Two replays of the same requests.

    Parameters
    ----------
    fixed_s
        The one life.
    fixed, learned
        What came of each.
    lifetimes
        What was learned, at the share that hits as often.
    observations
        What it was learned from: answers that were made again.
    """

    fixed_s: float
    fixed: ReplayReport
    learned: ReplayReport
    lifetimes: Lifetimes
    observations: tuple[AnswerAge, ...]

    @property
    def stale_ratio(self) -> float:
        """Return stale answers with learned lives over those with the fixed one."""
        return self.learned.n_stale / max(1, self.fixed.n_stale)


def compare_lives(stream: Stream, fixed_s: float) -> LivesComparison:
    """Return how learned lives compare with a fixed one.

    Parameters
    ----------
    stream
        What is asked.
    fixed_s
        The one life for all kinds.
    """
    half_s = stream.half_s
    observations: list[AnswerAge] = []

    def look_again(request: StreamRequest, last: StreamRequest | None, now_s: float) -> None:
        if last is not None and now_s < half_s:
            observations.append(AnswerAge(request.kind, now_s - last.at_s, last.version == request.version))

    fixed = replay(stream, PlainCache(lambda _: fixed_s), lambda _: fixed_s, from_s=half_s, on_answer=look_again)
    horizon_s = stream.days * 86_400.0
    low, high = 1e-4, 0.9
    best: tuple[ReplayReport, Lifetimes] | None = None
    for _ in range(_STEPS):  # the least share that hits as often, by bisection of its odds
        share = (low * high) ** 0.5
        lifetimes = fit_lifetimes(observations, share, max_s=horizon_s)
        learned = replay(stream, PlainCache(lifetimes.ttl_s), lifetimes.ttl_s, from_s=half_s)
        if learned.n_hits >= fixed.n_hits:
            best, high = (learned, lifetimes), share
        else:
            low = share
    if best is None:
        lifetimes = fit_lifetimes(observations, high, max_s=horizon_s)
        best = replay(stream, PlainCache(lifetimes.ttl_s), lifetimes.ttl_s, from_s=half_s), lifetimes
    return LivesComparison(fixed_s, fixed, best[0], best[1], tuple(observations))
