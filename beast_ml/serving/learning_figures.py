"""Where the learning loop of this host stands, and what its drift monitor has found: from the files that it leaves."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from beast_ml.operations.learning_loop.state_file import DRIFT_FILE, LOOP_FILE, StateFile
from beast_ml.operations.learning_loop.states import LoopState

__all__ = ["DriftAlarm", "FollowedLearning", "LearningFigures"]


class DriftAlarm(msgspec.Struct, frozen=True):
    """A stream that has drifted; see `beast_ml.operations.drift.monitor.Alarm`.

    Parameters
    ----------
    key
        Of the stream: signal, policy, model, kind.
    raised_at
        When it was found.
    """

    key: tuple[str, str, str, str]
    raised_at: datetime


class _DriftState(msgspec.Struct, frozen=True):
    """What is read of the monitor's state: its streams, which are most of it, are skipped."""

    alarms: list[DriftAlarm]
    last_at: datetime | None
    raised: dict[str, int] = {}


class LearningFigures(msgspec.Struct, frozen=True):
    """What the files say.

    Parameters
    ----------
    loop
        Where the loop stands; None where it never ran.
    drifted
        (signal, model, kind) -> when it was last found to have drifted.
    watched_until
        Received time of the last request that the monitor read; None where it read none.
    raised
        Signal -> how many alarms the monitor ever raised.
    """

    loop: LoopState | None
    drifted: dict[tuple[str, str, str], datetime]
    watched_until: datetime | None
    raised: dict[str, int] = {}


class FollowedLearning:
    """Reads the files again when they have changed.

    Parameters
    ----------
    folder
        Where the loop keeps its state; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._loop, self._drift = folder / LOOP_FILE, folder / DRIFT_FILE
        self._seen: tuple[tuple[int, int] | None, ...] = (None, None)

    def changed(self) -> LearningFigures | None:
        """Return what the files say; None where nothing has changed since the last call.

        Raises
        ------
        DataError, msgspec.MsgspecError, OSError
            If a file cannot be read, once for each state of it.
        """
        seen = tuple(map(_signature, (self._loop, self._drift)))
        if seen == self._seen:
            return None
        self._seen = seen
        drifted: dict[tuple[str, str, str], datetime] = {}
        until, raised = None, {}
        if seen[1] is not None:
            state = msgspec.json.decode(self._drift.read_bytes(), type=_DriftState)
            until, raised = state.last_at, state.raised
            for alarm in state.alarms:
                signal, _, model, kind = alarm.key  # of all policies the latest
                known = drifted.get((signal, model, kind))
                drifted[signal, model, kind] = alarm.raised_at if known is None else max(known, alarm.raised_at)
        return LearningFigures(StateFile(self._loop).read(), drifted, until, raised)


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
