"""Where the loop stands: one small value, written before anything else happens.

    collect -> validate -> train -> evaluate -> shadow -> canary -> promote -> watch ---> conclude -> collect
                   |         |         |          |         |          |         |           ^
                   +---------+---------+----------+---------+----------+-- rejected ---------+
                                                                                 +- roll_back +

A step does what can be done twice, then the next state is written. So wherever the loop is killed, it goes on from the
last state by doing that step again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

__all__ = ["STEPS", "Finished", "LoopState", "Proof", "Step", "Verdict"]

Step = Literal[
    "collect", "validate", "train", "evaluate", "shadow", "canary", "promote", "watch", "roll_back", "conclude"
]
"""Where the loop can stand."""

STEPS: Final[tuple[Step, ...]] = get_args(Step)
"""All of `Step`."""

Verdict = Literal["promoted", "rejected", "rolled back"]
"""How a cycle can end."""

_REMEMBERED: Final = 50


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What live requests proved of a candidate: its quality less the champion's, always valid, on so many units.

    Parameters
    ----------
    effect, low, high
        Mean difference, and its interval.
    n_units
        How many.
    """

    effect: float
    low: float
    high: float
    n_units: int


class Finished(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a cycle ended.

    Parameters
    ----------
    cycle
        Its number.
    verdict, reason
        What became of the candidate, and why.
    champion
        The version that served when it began; None where none did.
    candidate
        The version that was learnt; None where none was.
    at
        When.
    """

    cycle: int
    verdict: Verdict
    reason: str
    champion: int | None
    candidate: int | None
    at: datetime


class LoopState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the loop stands.

    Parameters
    ----------
    step
        What is to be done next, or is being waited for.
    entered_at
        Since when.
    reason
        What led here.
    cycle
        Counts from 1.
    champion, candidate
        Versions of the router: the one that served when the cycle began, and the one that was learnt.
    rows_until
        The candidate learns from requests received before.
    learnt_until
        What earlier cycles have seen; only what came later is new.
    stale
        Model -> from when on its outcomes are those of what it is now.
    proven
        Whether the gates passed off-policy; if not, live requests must prove the candidate.
    proof
        That they did.
    verdict
        Of the cycle, once it has one.
    finished
        The last cycles, oldest first.
    format
        Of this value.
    """

    entered_at: datetime
    step: Step = "collect"
    reason: str = "the loop begins"
    cycle: int = 1
    champion: int | None = None
    candidate: int | None = None
    rows_until: datetime | None = None
    learnt_until: datetime | None = None
    stale: dict[str, datetime] = {}
    proven: bool = False
    proof: Proof | None = None
    verdict: Verdict | None = None
    finished: tuple[Finished, ...] = ()
    format: Literal[1] = 1

    def moved(self, step: Step, reason: str, at: datetime, **changes: object) -> LoopState:
        """Return the state after a step."""
        return msgspec.structs.replace(self, step=step, reason=reason, entered_at=at, **changes)

    def concluded(self, at: datetime) -> LoopState:
        """Return the beginning of the next cycle."""
        assert self.verdict is not None  # noqa: S101  written with the step that is over
        ended = Finished(
            cycle=self.cycle,
            verdict=self.verdict,
            reason=self.reason,
            champion=self.champion,
            candidate=self.candidate,
            at=at,
        )
        return LoopState(
            entered_at=at,
            reason=f"cycle {self.cycle} ended: {self.verdict}",
            cycle=self.cycle + 1,
            learnt_until=self.rows_until or self.learnt_until,
            stale=self.stale,
            finished=(*self.finished, ended)[-_REMEMBERED:],
        )
