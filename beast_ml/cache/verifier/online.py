"""The threshold in service: moved by verified lookups, valid however often it is looked at.

A share of lookups is verified after the fact (the answer is made anew, or judged). What is learnt of one that had been
picked with probability q counts 1 / q, so the mean of

    X(t) = 1[score >= t] 1[wrong] 1[verified] / q

is the false-hit rate at threshold t, for every t at or above the lowest score that is verified at all. For each
threshold of a grid the evidence against "the rate is above epsilon" is a bettor's wealth,

    W(t) = product of 1 + b (epsilon - X(t)),   0 <= b < 1 / (X's bound - epsilon), b chosen before X is seen:

a non-negative supermartingale while the rate is above epsilon, so it ever reaches 1 / delta with probability delta at
most (Ville; Waudby-Smith & Ramdas, *Estimating means of bounded random variables by betting*, JRSS-B 2024). Thresholds
are accepted in the order of the grid, strictest first, so that the promise holds for all of them together and at all
times, while the stream stays as it is. A second wealth bets the other way and starts over whenever it falls below
where it began (the CUSUM e-detector of Shin, Ramdas & Rinaldo, 2024): at a threshold in use it cries false alarm once
in 100,000 lookups on average at most. On an alarm something has changed: everything learnt is forgotten, and nothing is
served before there is new evidence. For that, misses have to be verified now and then as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import InputError

__all__ = ["OnlineState", "OnlineThreshold", "PartitionState", "PartitionThresholds"]

Floats = NDArray[np.float64]

_NEVER: Final = float("inf")
_LOOKUPS_TO_FALSE_ALARM: Final = 100_000
_MOST_PARTITIONS: Final = 10_000
_MOST_OF_BOUND: Final = 0.5  # of the largest bet that cannot go bankrupt


class OnlineState(msgspec.Struct, frozen=True):
    """What an `OnlineThreshold` has learnt, as plain values."""

    grid: list[float]
    start: float | None
    n_lookups: int
    n_verified: int
    n_alarms: int
    n_since: int
    sums: list[list[float]]


@dataclass
class OnlineThreshold:
    """One threshold, moved by verified lookups.

    Parameters
    ----------
    target
        What is promised of the lookups it is used for, at all times together.
    grid
        Thresholds to choose from, strictest (highest) first.
    least_audit
        Smallest probability with which a lookup is verified, where it may be at all: bounds what one can count.
    start
        Threshold to begin with, from labelled pairs; looser ones need evidence, it and stricter ones do not. It joins
        the grid. Infinity: nothing hits before there is evidence.

    Raises
    ------
    InputError
        If the grid is not falling, or ``least_audit`` is not in (0, 1].
    """

    target: RiskTarget
    grid: Sequence[float]
    least_audit: float
    start: float = _NEVER
    n_lookups: int = field(default=0, init=False)
    n_verified: int = field(default=0, init=False)
    n_alarms: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._grid = np.asarray(self.grid, dtype=np.float64)
        if len(self._grid) == 0 or (np.diff(self._grid) >= 0).any():
            raise InputError("`grid` must be thresholds from the highest to the lowest, each once")
        if isfinite(self.start):
            # What is in use is watched itself: wrong hits between it and a stricter threshold would raise no alarm.
            self._grid = np.union1d(self._grid, self.start)[::-1]
        if not 0.0 < self.least_audit <= 1.0:
            raise InputError(f"`least_audit` == {self.least_audit}, must be above 0 and at most 1")
        self._bound = 1.0 / self.least_audit
        self._forget()

    def _forget(self) -> None:
        self._for = np.zeros(len(self._grid))  # log wealth of the bet that the rate is below epsilon
        self._best = np.zeros(len(self._grid))  # its highest so far: Ville's inequality is about the highest
        self._against = np.zeros(len(self._grid))
        self._sum = np.full(len(self._grid), self.target.epsilon)
        self._squares = np.full(len(self._grid), self.target.epsilon * self._bound / 4)
        self._n = 1

    def state(self) -> OnlineState:
        """Return what has been learnt, to be kept or handed to another process."""
        return OnlineState(
            grid=self._grid.tolist(),
            start=self.start if isfinite(self.start) else None,
            n_lookups=self.n_lookups,
            n_verified=self.n_verified,
            n_alarms=self.n_alarms,
            n_since=self._n,
            sums=np.stack([self._for, self._best, self._against, self._sum, self._squares]).tolist(),
        )

    def restore(self, state: OnlineState) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        InputError
            If it is of another grid.
        """
        given, kept = set(self.grid), set(state.grid)
        if not given <= kept or len(kept - given) > 1:  # the one more is where it started
            raise InputError("the state kept is of another grid of thresholds, must be of this one: start anew")
        self._grid = np.array(state.grid)
        self.start = _NEVER if state.start is None else state.start
        self.n_lookups, self.n_verified, self.n_alarms = state.n_lookups, state.n_verified, state.n_alarms
        self._n = state.n_since
        self._for, self._best, self._against, self._sum, self._squares = np.array(state.sums)

    @property
    def value(self) -> float:
        """Scores at or above it may be served now."""
        accepted = self._best >= np.log(1.0 / self.target.delta)
        first = int(np.argmin(accepted)) if not accepted.all() else len(accepted)
        earned = float(self._grid[first - 1]) if first else _NEVER
        return min(earned, self.start)

    def observe(
        self,
        score: float,
        *,
        wrong: bool | None = None,
        probability: float = 1.0,
        unverified: int = 0,
        in_use: float = _NEVER,
    ) -> None:
        """Learn of one lookup; every lookup counts, most without a verdict.

        Parameters
        ----------
        score
            Of its best candidate; minus infinity where there is none.
        wrong
            Whether serving that candidate would have been (or was) wrong; None where it was not verified.
        probability
            With which it was picked to be verified; read only where ``wrong`` is not None.
        unverified
            Lookups before it that were not picked, and that nobody has told of.
        in_use
            Threshold that these lookups are served at, where a looser one than this one's is: it may be cried alarm at.

        Raises
        ------
        InputError
            If the probability is below ``least_audit``.
        """
        if wrong is not None and not self.least_audit <= probability <= 1.0:
            raise InputError(f"`probability` == {probability}, must be from {self.least_audit} to 1")
        if unverified:
            self._bet(np.zeros(len(self._grid)), unverified, _NEVER)
        loss = np.zeros(len(self._grid))
        if wrong is not None:
            self.n_verified += 1
            if wrong:
                loss[self._grid <= score] = 1.0 / probability
        self._bet(loss, 1, in_use)

    def _bet(self, loss: Floats, n: int, served_at: float) -> None:
        """Bet on n lookups with that loss each."""
        epsilon = self.target.epsilon
        # Nearly the best constant bet so far (growth is mean / second moment to second order); uses the past alone.
        mean, second = self._sum / self._n, self._squares / self._n
        spread = np.maximum(second - 2 * epsilon * mean + epsilon**2, 1e-12)
        edge = (epsilon - mean) / spread
        bet_for = np.clip(edge, 0.0, _MOST_OF_BOUND / max(self._bound - epsilon, epsilon))
        # Not from the past, which says that all is well: nearly the best against a rate of three times epsilon.
        bet_against = min(2.0 / (3.0 * self._bound), _MOST_OF_BOUND / epsilon)
        self._for += n * np.log1p(bet_for * (epsilon - loss))
        self._best = np.maximum(self._best, self._for)
        self._against = np.maximum(self._against + n * np.log1p(bet_against * (loss - epsilon)), 0.0)
        self._sum += n * loss
        self._squares += n * loss**2
        self._n += n
        self.n_lookups += n
        in_use = self._grid >= min(self.value, served_at)
        if (self._against[in_use] >= np.log(len(self._grid) * _LOOKUPS_TO_FALSE_ALARM)).any():
            self.n_alarms += 1
            self.start = _NEVER
            self._forget()


class PartitionState(msgspec.Struct, frozen=True):
    """What a `PartitionThresholds` has learnt, as plain values."""

    pooled: OnlineState
    own: dict[bytes, OnlineState]


@dataclass
class PartitionThresholds:
    """A threshold for each partition of the cache: its own once it has earned one, until then that of all together.

    Of more than 10,000 partitions those that were not heard of for longest are forgotten, which is safe, but for the
    ones that have proved to be unlike the others: they are kept as long as there are others to forget.

    Parameters
    ----------
    target
        What is promised, of each partition that has its own threshold, and of all lookups together.
    grid, least_audit
        As for `OnlineThreshold`.
    start
        Threshold from labelled pairs, for all together.
    before
        What a partition without evidence gets: "pooled" (the threshold of all, kept at half of epsilon) or "none"
        (no semantic hit).
    least_verified
        Verified lookups that a partition needs before its own threshold is used.
    """

    target: RiskTarget
    grid: Sequence[float]
    least_audit: float
    start: float = _NEVER
    before: Literal["pooled", "none"] = "pooled"
    least_verified: int = 100

    def __post_init__(self) -> None:
        # Half of epsilon: a mean over partitions says little of the worst one.
        careful = RiskTarget(self.target.epsilon / 2, self.target.delta)
        self._pooled = OnlineThreshold(careful, self.grid, self.least_audit, self.start)
        self._own: dict[bytes, OnlineThreshold] = {}

    def value(self, partition: bytes) -> float:
        """Return the threshold of a partition now."""
        own = self._own.get(partition)
        if own is not None and own.n_alarms:
            return own.value  # it has proved to be unlike the others
        if own is not None and own.n_verified >= self.least_verified and own.value < _NEVER:
            return own.value
        return self._pooled.value if self.before == "pooled" else _NEVER

    @property
    def pooled(self) -> float:
        """The threshold of all together, now."""
        return self._pooled.value

    @property
    def n_verified(self) -> int:
        """Verified lookups so far."""
        return self._pooled.n_verified

    @property
    def n_alarms(self) -> int:
        """Alarms so far, of all together and of partitions."""
        return self._pooled.n_alarms + sum(each.n_alarms for each in self._own.values())

    def observe(
        self,
        partition: bytes,
        score: float,
        *,
        wrong: bool | None = None,
        probability: float = 1.0,
        unverified: int = 0,
        together: int = 0,
    ) -> None:
        """Learn of one lookup; see `OnlineThreshold.observe`.

        Before it there were ``unverified`` others of its partition since the last one of it that was picked, and
        ``together`` of all partitions since the last one of any.
        """
        in_use = self.value(partition)
        self._pooled.observe(score, wrong=wrong, probability=probability, unverified=together)
        self._of(partition).observe(score, wrong=wrong, probability=probability, unverified=unverified, in_use=in_use)

    def state(self) -> PartitionState:
        """Return what has been learnt, to be kept."""
        return PartitionState(self._pooled.state(), {name: each.state() for name, each in self._own.items()})

    def restore(self, state: PartitionState) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        InputError
            If it is of another grid.
        """
        self._pooled.restore(state.pooled)
        for partition, known in state.own.items():
            self._of(partition).restore(known)

    def _of(self, partition: bytes) -> OnlineThreshold:
        own = self._own.pop(partition, None) or OnlineThreshold(self.target, self.grid, self.least_audit)
        self._own[partition] = own  # the last one that was heard of
        if len(self._own) > _MOST_PARTITIONS:
            del self._own[next((name for name, each in self._own.items() if not each.n_alarms), next(iter(self._own)))]
        return own
