"""What the loop sees and does: a log, a registry, live traffic; or a simulation of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from beast_ml.operations.learning_loop.states import LoopState

__all__ = ["Collected", "Compared", "Judged", "Shadowed", "Surroundings"]


@dataclass(frozen=True)
class Collected:
    """What a log holds that is new.

    Parameters
    ----------
    until
        Requests received before are counted.
    n_requests, n_labelled
        New ones, and those of them with a quality label; after drift, only what was labelled since counts as such.
    labelled_of_others
        Policy version -> labelled requests of the same time that it decided: of no use as evidence against the policy
        that serves, whose own decisions alone are counted. The key is empty for those of no known version.
    n_in_future, n_told_before
        Received later than now, and labelled before they were received: clocks that are wrong.
    n_without_propensity
        With a choice, but not with how probable it was: none, or none in (0, 1].
    n_broken
        Rows that could not be taken in since, and lie in quarantine.
    drifted
        What drifted for the worse or the better, in words; drift does not wait for the next regular cycle.
    stale
        Model -> since when its outcomes are other ones.
    """

    until: datetime
    n_requests: int = 0
    n_labelled: int = 0
    labelled_of_others: Mapping[str, int] = field(default_factory=dict)
    n_in_future: int = 0
    n_told_before: int = 0
    n_without_propensity: int = 0
    n_broken: int = 0
    drifted: tuple[str, ...] = ()
    stale: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """What the gates say of a candidate: off-policy, on questions it did not learn from, and on a replay.

    Parameters
    ----------
    passed
        Whether it may become champion.
    sentence
        Why, or why not.
    promising
        Where not: whether that is because the log cannot tell, so that live requests may.
    """

    passed: bool
    sentence: str
    promising: bool = False


@dataclass(frozen=True)
class Shadowed:
    """What a candidate did on live requests without being served: how many it was asked, and how many it decided.

    Parameters
    ----------
    n_asked, n_decided
        In this order.
    """

    n_asked: int
    n_decided: int


@dataclass(frozen=True)
class Compared:
    """Two policies on live requests: the candidate minus the other one.

    Parameters
    ----------
    n_candidate, n_other
        Units of each.
    effect, low, high
        In units of quality, with a confidence sequence: it holds however often one looks. Infinite bounds where too
        little is known.
    harm
        A guardrail that is broken, in words; None where none is.
    """

    n_candidate: int
    n_other: int
    effect: float
    low: float
    high: float
    harm: str | None = None


class Surroundings(Protocol):
    """What the loop needs. All that changes something may be done twice: the second time changes nothing.

    Whatever is away raises a `BeastError`; then the loop stays where it is.
    """

    def now(self) -> datetime:
        """Return the time; aware."""
        ...

    def champion(self) -> int | None:
        """Return the version that serves."""
        ...

    def collect(self, since: datetime | None, until: datetime | None) -> Collected:
        """Return what the log holds after a time (None: at all), up to another (None: now)."""
        ...

    def changed(self, since: datetime) -> tuple[str, ...]:
        """Return models whose outcomes are other ones than they were, by what was told after a time, in words."""
        ...

    def train(self, state: LoopState) -> int:
        """Learn the cycle's candidate from what came before ``rows_until``, register it, and return its version.

        A cycle has one candidate: where it is registered already, it is not learnt again.
        """
        ...

    def judge(self, version: int) -> Judged:
        """Return what the gates say of a version."""
        ...

    def shadow(self, state: LoopState) -> Shadowed:
        """Let the candidate decide beside the champion, unserved, and return what it did since the step began."""
        ...

    def canary(self, state: LoopState) -> Compared:
        """Let the candidate serve a share of the units, and return how it does against the champion."""
        ...

    def promote(self, state: LoopState) -> str:
        """Make the candidate champion through the gates, and return what happened.

        Raises
        ------
        PromotionRefusedError
            If a gate does not pass.
        """
        ...

    def watch(self, state: LoopState) -> Compared:
        """Let the former champion serve a small share of the units, and return how the new one does against it."""
        ...

    def roll_back(self, state: LoopState) -> str:
        """Make the former champion champion again, and return what happened."""
        ...

    def conclude(self, state: LoopState) -> None:
        """End all experiments of the cycle: the champion serves everybody."""
        ...

    def record(self, before: LoopState, after: LoopState) -> None:
        """Put a transition on record."""
        ...
