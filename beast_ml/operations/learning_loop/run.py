"""Run the loop: as far as it can go now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.machine import Waiting, advance
from beast_ml.operations.learning_loop.state_file import StateFile
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.operations.learning_loop.surroundings import Surroundings

__all__ = ["LoopReport", "learn_once"]


@dataclass(frozen=True)
class LoopReport:
    """What the loop did.

    Parameters
    ----------
    state
        Where it stands.
    waiting
        What for; None where a cycle has just ended.
    transitions
        The states it went through, in order.
    """

    state: LoopState
    waiting: str | None
    transitions: tuple[LoopState, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "state": msgspec.to_builtins(self.state),
            "waiting": self.waiting,
            "transitions": [
                {"step": each.step, "at": each.entered_at.isoformat(), "reason": each.reason, "verdict": each.verdict}
                for each in self.transitions
            ],
        }


def learn_once(file: StateFile, around: Surroundings, config: LoopConfig | None = None) -> LoopReport:
    """Go on from the state on disk until something must be waited for, or a cycle has ended.

    A transition is put on record, then written; a loop that is killed in between puts it on record twice.

    Raises
    ------
    DataError
        If the state cannot be read or written, or another process runs the loop.
    BeastError
        If something is away, such as the registry; the loop stays where it is.
    """
    config = config or LoopConfig()
    with file.held():
        state = file.read()
        if state is None:
            state = LoopState(entered_at=around.now())
            file.write(state)
        passed: list[LoopState] = []
        while True:
            after = advance(state, around, config)
            if isinstance(after, Waiting):
                return LoopReport(state, after.reason, tuple(passed))
            around.record(state, after)
            file.write(after)
            ended = after.cycle != state.cycle
            state = after
            passed.append(state)
            if ended:
                return LoopReport(state, None, tuple(passed))
