"""What verified lookups have taught a host, kept in a file of its own."""

from __future__ import annotations

import threading
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.cache.neighbours.frames import Verified
from beast_ml.cache.verifier.partition_thresholds import PartitionState, PartitionThresholds
from beast_ml.durable import write_durably
from beast_ml.errors import DataError, InputError
from beast_ml.events import events

__all__ = ["KeptThresholds"]

_FORMAT: Final = 2


class _Kept(msgspec.Struct, frozen=True):
    format: int
    verifier: str
    promise: tuple[float, float, float]
    state: PartitionState


class KeptThresholds:
    """Thresholds by partition, and the file that they outlive the process in.

    A killed process loses what came since the last snapshot: evidence for, never an alarm, which is written at once.
    `save` may be called from another thread.

    Parameters
    ----------
    thresholds
        As they begin.
    path
        The file; what is in it goes on, if it is of the same verifier and promise.
    verifier
        Hash of the verifier whose scores they are for.
    """

    def __init__(self, thresholds: PartitionThresholds, path: Path, verifier: str) -> None:
        self._thresholds, self._path, self._verifier = thresholds, path, verifier
        self._lock = threading.RLock()  # for what is learnt, and the file: an older state must not come after an alarm
        self._alarms = 0
        self.n_changes = 0
        """How often something was learnt."""
        try:
            kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
            if (kept.format, kept.verifier, kept.promise) == (_FORMAT, verifier, self._promise):
                thresholds.restore(kept.state)
                self._alarms = thresholds.n_alarms
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, InputError) as error:
            events.warning("cache.thresholds_begin_anew", path=str(path), error=str(error))

    @property
    def _promise(self) -> tuple[float, float, float]:
        kept = self._thresholds
        return kept.target.epsilon, kept.target.delta, kept.least_audit

    def value(self, partition: bytes, tenant: str) -> float | None:
        """Return the score from which on a candidate of a tenant's partition may be served; None: none may."""
        value = self._thresholds.value(partition, tenant)
        return value if isfinite(value) else None

    def learn(self, message: Verified) -> None:
        """Take note of a lookup that was verified, and of those before it that were not."""
        with self._lock:
            self.n_changes += 1
            try:
                self._thresholds.observe(
                    message.partition,
                    message.tenant,
                    message.score,
                    wrong=message.wrong,
                    lost=message.wrong is None,
                    probability=message.probability,
                    unverified=message.unverified,
                )
            except InputError as error:  # a worker under other settings
                events.error("cache.verdict_refused", error=str(error))
                return
            if self._thresholds.n_alarms > self._alarms:
                self._alarms = self._thresholds.n_alarms
                events.warning("cache.verifier_alarm", alarms=self._alarms, verified=self._thresholds.n_verified)
                try:
                    self.save()
                except DataError as error:  # it holds all the same, as long as this process lives
                    events.error("cache.alarm_not_saved", error=str(error))

    def save(self) -> None:
        """Write the file.

        Raises
        ------
        DataError
            If the disk is full, or the like.
        """
        with self._lock:
            kept = _Kept(_FORMAT, self._verifier, self._promise, self._thresholds.state())
            write_durably(self._path, msgspec.msgpack.encode(kept))

    def figures(self) -> dict[str, Any]:
        """Return the fields of `Figures` that are about them."""
        pooled = self._thresholds.pooled
        return {
            "threshold": pooled if isfinite(pooled) else None,
            "verified": self._thresholds.n_verified,
            "alarms": self._thresholds.n_alarms,
        }
