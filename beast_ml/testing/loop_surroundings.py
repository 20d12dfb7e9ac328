"""A world for the learning loop that does as it is told, remembers what was done to it, and ends it on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from beast_ml.errors import NotEnoughDataError, PromotionRefusedError, RegistryUnavailableError
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.learning_loop.surroundings import Collected, Compared, Judged, Shadowed

__all__ = ["Killed", "LoopSurroundings"]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class LoopSurroundings:
    """Surroundings whose effects outlive the loop.

    Parameters
    ----------
    effects
        (candidate - champion) on live requests, as canary and watch find it.
    kill_at
        Ends the process at the so many-th moment: before and after every effect are moments.
    away
        Whether the registry does not answer.
    serving
        Version of the champion; None: there is none.
    labelled, collected
        What of the log is new.
    trainable, passes, promising, refuses
        How training, gates, evaluation and registry answer.
    canary_effect, watch_effect
        Value and ends of its interval.
    harm
        Why a guardrail stops the candidate; None: none does.
    undecided
        Looks at an experiment that say nothing yet.
    changes
        What drifted.
    time
        That it is.
    versions
        Cycle -> the version that it registered.
    line
        Versions that were champion, the present one last.
    exposed
        What users see beside the champion.
    calls, recorded
        What was asked of it, and what the loop recorded.
    """

    serving: int | None = 1
    labelled: int = 5_000
    collected: Collected | None = None
    trainable: bool = True
    passes: bool = True
    promising: bool = False
    refuses: bool = False
    canary_effect: tuple[float, float, float] = (0.02, -0.01, 0.05)
    watch_effect: tuple[float, float, float] = (0.02, -0.01, 0.05)
    harm: str | None = None
    undecided: int = 0
    changes: tuple[str, ...] = ()
    kill_at: int | None = None
    away: bool = False
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    versions: dict[int, int] = field(default_factory=dict)
    line: list[int] = field(default_factory=lambda: [1])
    exposed: str | None = None
    calls: list[str] = field(default_factory=list)
    recorded: list[tuple[str, str]] = field(default_factory=list)
    moments: int = 0

    def pass_days(self, days: float) -> None:
        """Let time go by."""
        self.time += timedelta(days=days)

    def moment(self) -> None:
        """Count a moment at which the process may end."""
        self.moments += 1
        if self.kill_at is not None and self.moments == self.kill_at:
            raise Killed

    def now(self) -> datetime:
        """Return the time."""
        return self.time

    def champion(self) -> int | None:
        """Return who serves."""
        self._asked()
        return self.serving

    def collect(self, since: datetime | None, until: datetime | None) -> Collected:
        """Return as many new labelled requests as were set."""
        if self.collected is not None:
            return self.collected
        new = self.labelled if since is None or self.time - since >= timedelta(days=1) else 0
        return Collected(until or self.time, new, new)

    def changed(self, since: datetime) -> tuple[str, ...]:
        """Return what was set."""
        self._asked()
        return self.changes

    def train(self, state: LoopState) -> int:
        """Make one version a cycle."""
        if not self.trainable:
            raise NotEnoughDataError("labels are too few")
        self._before("train")
        version = self.versions.setdefault(state.cycle, max([1, *self.versions.values()]) + 1)
        self.moment()
        return version

    def judge(self, version: int) -> Judged:
        """Return what was set."""
        self._before("judge")
        return Judged(self.passes, "the gates pass" if self.passes else "the gates do not pass", self.promising)

    def shadow(self, state: LoopState) -> Shadowed:
        """Expose the candidate unserved."""
        self._expose("shadow")
        return Shadowed(1_000, 1_000 - self.undecided)

    def canary(self, state: LoopState) -> Compared:
        """Serve a share."""
        self._expose("canary")
        return Compared(500, 2_000, *self.canary_effect, self.harm)

    def promote(self, state: LoopState) -> str:
        """Move the champion."""
        if self.refuses:
            raise PromotionRefusedError("a gate does not pass", {})
        self._before("promote")
        if self.serving != state.candidate and state.candidate is not None:
            self.line.append(state.candidate)
            self.serving = state.candidate
        self.moment()
        return "promoted"

    def watch(self, state: LoopState) -> Compared:
        """Keep the former champion for a share."""
        self._expose("watch")
        return Compared(4_000, 400, *self.watch_effect)

    def roll_back(self, state: LoopState) -> str:
        """Move the champion back."""
        self._before("roll_back")
        self.line.pop()
        self.serving = self.line[-1]
        self.moment()
        return "taken back"

    def conclude(self, state: LoopState) -> None:
        """Expose nobody any more."""
        self._before("conclude")
        self.exposed = None
        self.moment()

    def record(self, before: LoopState, after: LoopState) -> None:
        """Remember the transition."""
        self._before("record")
        self.recorded.append((before.step, after.step))
        self.moment()

    def _expose(self, how: str) -> None:
        self._before(how)
        self.exposed = how
        self.moment()

    def _before(self, name: str) -> None:
        self._asked()
        self.moment()
        self.calls.append(name)

    def _asked(self) -> None:
        if self.away:
            raise RegistryUnavailableError("the registry does not answer")
