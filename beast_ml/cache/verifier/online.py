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

A verdict that does not come may have been the one that says wrong (a model that refuses, say, where the cached answer
does not). It counts as wrong in the evidence for, so that whatever keeps verdicts away loosens no threshold, and not at
all in the evidence against, so that an outage of the judge is no alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import InputError

__all__ = ["OnlineState", "OnlineThreshold"]

Floats = NDArray[np.float64]

_NEVER: Final = float("inf")
_LOOKUPS_TO_FALSE_ALARM: Final = 100_000
_MOST_OF_BOUND: Final = 0.5  # of the largest bet that cannot go bankrupt
_LOST_MEMORY: Final = 2.0  # one lost verdict in so many times bound / epsilon lookups takes half of epsilon


class OnlineState(msgspec.Struct, frozen=True):
    """What an `OnlineThreshold` has learnt, as plain values.

    Parameters
    ----------
    grid
        Thresholds that are weighed.
    start
        The threshold that it began with; None: none was allowed.
    n_lookups, n_verified, n_alarms
        Counts so far.
    n_since
        Verified lookups since the last alarm, from 1.
    sums
        Of the evidence on each threshold.
    """

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
    n_lookups, n_verified, n_alarms
        Lookups, verified ones, and how often something had changed for the worse.

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
        self._lost = np.zeros(len(self._grid))  # of late: verdicts stay away in bursts, and come again
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
            sums=np.stack([self._for, self._best, self._against, self._sum, self._squares, self._lost]).tolist(),
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
        self._for, self._best, self._against, self._sum, self._squares, self._lost = np.array(state.sums)

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
        lost: bool = False,
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
        lost
            Whether it was picked to be verified, and no verdict came.
        probability
            With which it was picked to be verified; read only where it was.
        unverified
            Lookups before it that were not picked, and that nobody has told of.
        in_use
            Threshold that these lookups are served at, where a looser one than this one's is: it may be cried alarm at.

        Raises
        ------
        InputError
            If the probability is below ``least_audit``, or a verdict is both there and lost.
        """
        if lost and wrong is not None:
            raise InputError(f"`lost` is True and `wrong` == {wrong}: a verdict has come, or it has not")
        picked = lost or wrong is not None
        if picked and not self.least_audit <= probability <= 1.0:
            raise InputError(f"`probability` == {probability}, must be from {self.least_audit} to 1")
        loss = np.zeros(len(self._grid))
        if lost or wrong:
            loss[self._grid <= score] = 1.0 / probability
        self.n_verified += wrong is not None
        for each, n in ((np.zeros(len(self._grid)), unverified), (loss, 1)):
            if n:
                self._bet_for(each, n, lost=lost)
                if not lost:
                    self._bet_against(each, n, in_use)

    def _bet_for(self, loss: Floats, n: int, *, lost: bool) -> None:
        """Bet that the rate is below epsilon, on n lookups with that loss each."""
        epsilon = self.target.epsilon
        # Nearly the best constant bet so far (growth is mean / second moment to second order); uses the past alone.
        mean = self._sum / self._n + self._lost
        second = self._squares / self._n + self._lost * self._bound
        spread = np.maximum(second - 2 * epsilon * mean + epsilon**2, 1e-12)
        bet = np.clip((epsilon - mean) / spread, 0.0, _MOST_OF_BOUND / max(self._bound - epsilon, epsilon))
        self._for += n * np.log1p(bet * (epsilon - loss))
        self._best = np.maximum(self._best, self._for)
        over = max(_LOST_MEMORY * self._bound / epsilon, 1.0)
        self._lost *= (1.0 - 1.0 / over) ** n
        if lost:
            self._lost += n * loss / over
        else:
            self._sum += n * loss
            self._squares += n * loss**2
        self._n += n
        self.n_lookups += n

    def _bet_against(self, loss: Floats, n: int, served_at: float) -> None:
        """Bet that the rate is above epsilon, on n lookups with that loss each, and forget everything if it is."""
        epsilon = self.target.epsilon
        # Not from the past, which says that all is well: nearly the best against a rate of three times epsilon.
        bet = min(2.0 / (3.0 * self._bound), _MOST_OF_BOUND / epsilon)
        self._against = np.maximum(self._against + n * np.log1p(bet * (loss - epsilon)), 0.0)
        in_use = self._grid >= min(self.value, served_at)
        if (self._against[in_use] >= np.log(len(self._grid) * _LOOKUPS_TO_FALSE_ALARM)).any():
            self.n_alarms += 1
            self.start = _NEVER
            self._forget()
