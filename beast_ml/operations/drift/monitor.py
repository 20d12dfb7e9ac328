"""All streams of a log together, under one budget of false alarms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from beast_ml.errors import DataError, SettingsError
from beast_ml.events import events
from beast_ml.operations.drift.detector import Detector, Observation
from beast_ml.operations.drift.history import Change
from beast_ml.operations.drift.signals import DETECTORS, DriftRow, StreamKey, new_detector, signals_of

__all__ = ["Alarm", "DriftMonitor", "MonitorConfig"]

_FORMAT: Final = 1
_MONTH_S: Final = 30.44 * 86_400.0
_FORGOTTEN_AFTER_S: Final = 14 * 86_400.0
_COURSE_POINTS: Final = 40


@dataclass(frozen=True)
class MonitorConfig:
    """How sure to be.

    Parameters
    ----------
    false_alarms_per_month
        At most so many are expected, of all streams together, while nothing changes.
    tolerance
        How far the mean quality may lie from what was predicted without an alarm; 0..1.

    Raises
    ------
    SettingsError
        If one of them cannot be.
    """

    false_alarms_per_month: float = 1.0
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 < self.false_alarms_per_month <= 1000.0:
            raise SettingsError(
                f"`false_alarms_per_month` == {self.false_alarms_per_month}, must be above 0 and at most 1000"
            )
        if not 0.0 <= self.tolerance < 1.0:
            raise SettingsError(f"`tolerance` == {self.tolerance}, must be in 0..1")


@dataclass(frozen=True)
class Alarm:
    """A stream that has drifted.

    Parameters
    ----------
    key
        Which stream.
    raised_at, confirmed_at
        Received times of the rows that made it sure first, and last.
    change
        Since when, and by how much; in the stream's own unit (logarithms of tokens + 1).
    course
        (start in seconds, mean, rows) of the stream up to then.
    """

    key: StreamKey
    raised_at: datetime
    confirmed_at: datetime
    change: Change | None
    course: tuple[tuple[float, float, int], ...] = ()


@dataclass
class _Stream:
    detector: Detector
    kind: str
    spent: float  # what the budget's clock said at its last row
    seen_s: float = 0.0
    rows: int = 0


@dataclass
class DriftMonitor:
    """Reads a log row by row, in the order of its rows, and keeps what has drifted.

    The budget is spent evenly over time and shared evenly among the streams there are; a stream's next row gets what
    has gathered for it since its last one. So all false alarms together, expected, are no more than the budget,
    whichever streams there are and however they hang together (`beast_ml.operations.drift.e_detector`), for a log
    whose rows of one kind could have come in any order while nothing changes.

    Parameters
    ----------
    config
        How sure to be.
    alarms
        By stream.
    drift_detected
        Whether there is any.
    raised
        Signal -> how many alarms there ever were, of streams that are gone too; confirmed ones count once.
    n_rows
        Rows read.
    first_at, last_at
        Times of the first and of the last of them.
    """

    config: MonitorConfig = MonitorConfig()
    alarms: dict[StreamKey, Alarm] = field(default_factory=dict)
    drift_detected: bool = False
    raised: dict[str, int] = field(default_factory=dict)
    n_rows: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    _streams: dict[StreamKey, _Stream] = field(default_factory=dict)
    _clock: float = 0.0  # false alarms that one stream could have spent so far

    def update(self, row: DriftRow) -> None:
        """Take one more row in; one that is older than the last counts as received with it."""
        at_s = row.at.timestamp()
        if self.last_at is not None:
            passed_s = max(at_s - self.last_at.timestamp(), 0.0)
            self._clock += self.config.false_alarms_per_month * passed_s / _MONTH_S / max(len(self._streams), 1)
            at_s = max(at_s, self.last_at.timestamp())
            if passed_s and int(at_s // 86_400) != int((at_s - passed_s) // 86_400):
                self._forget(at_s)
        at = datetime.fromtimestamp(at_s, UTC)
        self.first_at = self.first_at or at
        self.last_at = at
        self.n_rows += 1
        self.drift_detected = False
        for key, value, expected in signals_of(row):
            stream = self._streams.get(key) or self._open(key)
            stream.detector.update(Observation(at_s, value, self._clock - stream.spent, expected))
            stream.spent, stream.seen_s = self._clock, at_s
            stream.rows += 1
            if stream.detector.drift_detected:
                self._raise(key, stream.detector, at)

    def expected_false_alarms(self) -> float:
        """Return how many false alarms there are at most, expected, in what was read so far."""
        if self.first_at is None or self.last_at is None:
            return 0.0
        return self.config.false_alarms_per_month * (self.last_at - self.first_at).total_seconds() / _MONTH_S

    def streams(self) -> list[tuple[StreamKey, int]]:
        """Return the streams there are, with their rows."""
        return [(key, stream.rows) for key, stream in self._streams.items()]

    def course(self, alarm: Alarm) -> list[tuple[float, float, int]]:
        """Return (start in seconds, mean, rows) of a stream that drifted, up to its alarm and from there on."""
        stream, known = self._streams.get(alarm.key), list(alarm.course)
        later = [] if stream is None else stream.detector.history.means(_COURSE_POINTS)
        return known + [each for each in later if each[0] >= alarm.confirmed_at.timestamp()]

    def state(self) -> dict[str, Any]:
        """Return what `from_state` goes on from, as plain values for JSON."""
        return {
            "format": _FORMAT,
            "config": asdict(self.config),
            "alarms": [_alarm_state(alarm) for alarm in self.alarms.values()],
            "raised": self.raised,
            "n_rows": self.n_rows,
            "first_at": None if self.first_at is None else self.first_at.isoformat(),
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "clock": self._clock,
            "streams": [
                {
                    "key": list(key),
                    "kind": stream.kind,
                    "spent": stream.spent,
                    "seen_s": stream.seen_s,
                    "rows": stream.rows,
                    "detector": stream.detector.state(),
                }
                for key, stream in self._streams.items()
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> DriftMonitor:
        """Return a monitor that goes on where another one was.

        Raises
        ------
        DataError
            If it is no state of this version.
        """
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise DataError("this is no state of a drift monitor of this version: remove it to begin anew")
        try:
            one = cls(MonitorConfig(**state["config"]))
            one.alarms = {alarm.key: alarm for alarm in map(_alarm_of, state["alarms"])}
            one.raised = {signal: int(n) for signal, n in state.get("raised", {}).items()}
            one.n_rows, one._clock = int(state["n_rows"]), float(state["clock"])
            one.first_at, one.last_at = (_time(state[name]) for name in ("first_at", "last_at"))
            for each in state["streams"]:
                detector = DETECTORS[each["kind"]].from_state(each["detector"])
                key = StreamKey(*each["key"])
                one._streams[key] = _Stream(detector, each["kind"], each["spent"], each["seen_s"], each["rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the state of the drift monitor is damaged ({error!r}): remove it to begin anew"
            ) from error
        return one

    def _open(self, key: StreamKey) -> _Stream:
        detector = new_detector(key.signal, self.config.tolerance)
        stream = self._streams[key] = _Stream(detector, type(detector).name, self._clock)
        return stream

    def _raise(self, key: StreamKey, detector: Detector, at: datetime) -> None:
        change, known = detector.history.change(), self.alarms.get(key)
        course = tuple(detector.history.means(_COURSE_POINTS))
        self.drift_detected = True
        if known is not None and detector.history.usual is not None:  # still off: the same alarm, better known
            self.alarms[key] = replace(known, confirmed_at=at, change=change, course=course)
            return
        self.alarms[key] = Alarm(key, at, at, change, course)
        self.raised[key.signal] = self.raised.get(key.signal, 0) + 1
        events.info("drift.detected", at=at.isoformat(), **key._asdict())

    def _forget(self, now_s: float) -> None:
        """Drop streams that nothing came of for two weeks, as of a policy that decides no more."""
        gone = [key for key, stream in self._streams.items() if now_s - stream.seen_s > _FORGOTTEN_AFTER_S]
        for key in gone:
            del self._streams[key]


def _alarm_state(alarm: Alarm) -> dict[str, Any]:
    return {
        "key": list(alarm.key),
        "raised_at": alarm.raised_at.isoformat(),
        "confirmed_at": alarm.confirmed_at.isoformat(),
        "change": None if alarm.change is None else asdict(alarm.change),
        "course": [list(point) for point in alarm.course],
    }


def _alarm_of(state: dict[str, Any]) -> Alarm:
    return Alarm(
        StreamKey(*state["key"]),
        datetime.fromisoformat(state["raised_at"]),
        datetime.fromisoformat(state["confirmed_at"]),
        None if state["change"] is None else Change(**state["change"]),
        tuple((at, mean, n) for at, mean, n in state["course"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
