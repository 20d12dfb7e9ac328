"""Writing to a shared tier later, in batches, beside the requests."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tier_health import TierHealth
from beast_ml.cache.tier_stats import TierStats
from beast_ml.cache.tiers.contract import EntrySink
from beast_ml.errors import InputError, UnavailableError
from beast_ml.events import events

__all__ = ["WriteBack", "WriteBackLimits"]

_ENTRY_BYTES: Final = 1000
"""Of an entry besides its answer, about."""


class WriteBackLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may wait to be written to one tier.

    Parameters
    ----------
    max_entries, max_bytes
        Of entries that wait; when there are more, the oldest are dropped, and missed later.
    max_removals
        Of removals that wait; they are remembered for longer, since what was to go must not come back.
    batch
        Most entries written at a time.
    delay_s
        How long an entry waits for others to be written with it: what a kill may lose while the tier answers.
    """

    max_entries: int = 10_000
    max_bytes: int = 64 << 20
    max_removals: int = 100_000
    batch: int = 256
    delay_s: float = 0.05

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_bytes", "max_removals", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be >= 1")
        if not 0 <= self.delay_s < math.inf:
            raise InputError(f"`delay_s` == {self.delay_s}, must be a number >= 0")


class WriteBack:
    """Brings entries, and removals, to one tier, or to other regions, in the order in which they came.

    `put` and `remove` only take note, and never wait for a server. What they were told is written when `flush` has
    returned True, unless the entry was removed or replaced since; until then it is in this process's memory, and gone
    if that is killed.

    Parameters
    ----------
    tier
        Where to write.
    health
        Shared with those who read from it.
    limits
        What may wait.
    in_background
        Whether a thread writes; False: only `step` and `flush` do.
    """

    def __init__(
        self, tier: EntrySink, health: TierHealth, limits: WriteBackLimits | None = None, *, in_background: bool = True
    ) -> None:
        self._tier, self._health = tier, health
        self._limits = WriteBackLimits() if limits is None else limits
        self._entries: dict[str, tuple[int, CacheEntry]] = {}
        self._removals: dict[str, int] = {}
        self._n_bytes = 0
        self._n_told = 0
        self._in_hand: int | None = None
        self._hurry = self._closed = False
        self._changed = threading.Condition()
        self._one_step = threading.Lock()
        self.n_written = self.n_dropped = self.n_failures = 0
        self._thread: threading.Thread | None = None
        if in_background:
            self._thread = threading.Thread(target=self._work, name=f"cache-{tier.name}-writer", daemon=True)
            self._thread.start()

    @property
    def n_waiting(self) -> int:
        """How many entries and removals wait."""
        return len(self._entries) + len(self._removals)

    def stats(self) -> TierStats:
        """Return what was written since the start, and whether it is away."""
        return TierStats(
            tier=self._tier.name,
            failures=self.n_failures,
            written=self.n_written,
            waiting=self.n_waiting,
            dropped=self.n_dropped,
            away=self._health.is_away,
        )

    def put(self, entry: CacheEntry) -> None:
        """Take note that an entry is to be kept."""
        limits = self._limits
        with self._changed:
            self._removals.pop(entry.entry_id, None)
            self._drop(entry.entry_id)
            self._n_told += 1
            self._entries[entry.entry_id] = self._n_told, entry
            self._n_bytes += _size(entry)
            while len(self._entries) > limits.max_entries or self._n_bytes > limits.max_bytes:
                self._drop(next(iter(self._entries)))
                self.n_dropped += 1
            self._changed.notify_all()

    def remove(self, entry_ids: Iterable[str]) -> None:
        """Take note that entries are to go, also those that still wait to be written."""
        with self._changed:
            for entry_id in entry_ids:
                self._drop(entry_id)
                self._n_told += 1
                self._removals[entry_id] = self._n_told
            while len(self._removals) > self._limits.max_removals:
                del self._removals[next(iter(self._removals))]
                self.n_dropped += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> bool:
        """Write what was told so far; return whether all of it is written, and nothing of what waited was dropped."""
        until = clock() + timeout_s
        with self._changed:
            told, dropped = self._n_told, self.n_dropped
        if self._thread is None:
            while self._oldest() <= told and self.step():
                pass
            return self._oldest() > told and self.n_dropped == dropped
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            while self._oldest() <= told and (left := until - clock()) > 0:
                self._changed.wait(left)
            return self._oldest() > told and self.n_dropped == dropped

    def step(self) -> bool:
        """Write one batch; return whether there was one, and it is written."""
        with self._one_step:
            with self._changed:
                if not self.n_waiting:
                    return False
            if not self._health.allows():
                return False
            with self._changed:
                removals = dict(islice(self._removals.items(), self._limits.batch))
                entries = dict(islice(self._entries.items(), self._limits.batch))
                self._in_hand = min([*removals.values(), *(n for n, _ in entries.values())], default=None)
                for entry_id in removals:
                    del self._removals[entry_id]
                for entry_id in entries:
                    self._drop(entry_id)
            try:
                if removals:
                    self._tier.remove(list(removals))
                    removals = {}
                self._write([entry for _, entry in entries.values()])
                self._health.succeeded()
            except UnavailableError as error:
                self._health.failed()
                self.n_failures += 1
                events.info("cache.write_failed", tier=self._tier.name, waiting=self.n_waiting, error=str(error))
                self._take_back(removals, entries)
                return False
            with self._changed:
                self.n_written += len(entries)
                self._in_hand = None
                self._changed.notify_all()
            return True

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits, for so long at most, and end the thread; return whether all is written."""
        written = self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return written

    def _write(self, entries: Sequence[CacheEntry]) -> None:
        if not entries:
            return
        try:
            self._tier.put_many(entries)
        except InputError as error:
            if len(entries) == 1:
                self.n_dropped += 1
                events.warning("cache.entry_refused", tier=self._tier.name, error=str(error))
                return
            for entry in entries:  # one that cannot be kept must not hold up the others
                self._write([entry])

    def _take_back(self, removals: dict[str, int], entries: dict[str, tuple[int, CacheEntry]]) -> None:
        """Put what could not be written before what waits, unless it was replaced or removed since."""
        with self._changed:
            self._removals = {k: n for k, n in removals.items() if k not in self._entries} | self._removals
            again = {k: v for k, v in entries.items() if k not in self._entries and k not in self._removals}
            self._n_bytes += sum(_size(entry) for _, entry in again.values())
            self._entries = again | self._entries
            self._in_hand = None
            self._changed.notify_all()

    def _drop(self, entry_id: str) -> None:
        dropped = self._entries.pop(entry_id, None)
        if dropped is not None:
            self._n_bytes -= _size(dropped[1])

    def _oldest(self) -> float:
        """Return the number of the first thing told that is not written; infinity: all is."""
        firsts = [next(iter(self._removals.values()), math.inf), math.inf if self._in_hand is None else self._in_hand]
        return min(*firsts, next((n for n, _ in self._entries.values()), math.inf))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self.n_waiting and not self._closed:
                    self._hurry = False
                    self._changed.wait()
                if self._closed:
                    return
                if not self._hurry and self.n_waiting < self._limits.batch:
                    self._changed.wait_for(lambda: self._hurry or self._closed, self._limits.delay_s)
            if not self.step():
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, max(0.01, min(self._health.rests_s(), 1.0)))


def _size(entry: CacheEntry) -> int:
    return len(entry.answer) + _ENTRY_BYTES
