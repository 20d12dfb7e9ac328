"""How many requests a tenant may send a second: a token bucket for each, shared by the workers of a host."""

from __future__ import annotations

import mmap
import os
import time
from array import array
from collections.abc import Callable, MutableSequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from beast_ml.errors import InputError, RateLimitedError

if os.name == "posix":
    import fcntl

__all__ = ["RateLimiter", "SharedBuckets"]

_SLOTS: Final = 1 << 14
_SLOT_BYTES: Final = 16


class RateLimiter:
    """Token buckets, each kept as one number: until when the requests let through so far use the rate up.

    A tenant that was silent may send a burst at once. What is larger than a burst (a batch) is let through when the
    bucket is full, and paid for by waiting afterwards.

    Parameters
    ----------
    per_s
        Requests a second; None: no limit.
    burst
        Requests at once; default: those of one second, at least 1.
    shared
        Buckets that all workers of the host use; None: this one's own.
    clock
        Seconds that only go forward, the same for all workers.

    Raises
    ------
    InputError
        If rate or burst is not positive.

    Examples
    --------
    >>> limiter = RateLimiter(2.0, clock=lambda: 10.0)
    >>> limiter.take("acme")
    >>> limiter.take("acme")
    >>> limiter.take("acme")
    Traceback (most recent call last):
    beast_ml.errors.RateLimitedError: acme sends more than 2 requests a second: wait 0.500 s
    """

    def __init__(
        self,
        per_s: float | None,
        burst: float | None = None,
        *,
        shared: SharedBuckets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_s is not None and not 0 < per_s < float("inf"):
            raise InputError(f"`per_s` == {per_s}, must be a number > 0, or None for no limit")
        if burst is not None and not 1 <= burst < float("inf"):
            raise InputError(f"`burst` == {burst}, must be a number >= 1")
        self._per_s = per_s
        self._interval_s = 0.0 if per_s is None else 1 / per_s
        self._burst_s = self._interval_s * (burst if burst is not None else max(per_s or 0.0, 1.0))
        self._shared = shared
        self._clock = clock
        self._buckets: dict[str, tuple[MutableSequence[float], int]] = {}

    def take(self, tenant: str, n: int = 1) -> None:
        """Take the tokens for some requests out of a tenant's bucket.

        Raises
        ------
        RateLimitedError
            If there are too few; none is taken then.
        """
        if self._per_s is None:
            return
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = self._bucket(tenant)
        until, i = bucket
        now = self._clock()
        free_at = until[i]
        if free_at <= now:  # the bucket is full: anything may pass
            until[i] = now + n * self._interval_s
            return
        after = free_at + n * self._interval_s
        wait_s = min(after - now - self._burst_s, free_at - now)
        if wait_s > 1e-6:  # less is rounding
            raise RateLimitedError(
                f"{tenant} sends more than {self._per_s:g} requests a second: wait {wait_s:.3f} s", wait_s
            )
        until[i] = after

    def _bucket(self, tenant: str) -> tuple[MutableSequence[float], int]:
        shared = None if self._shared is None else self._shared.slot(tenant)
        return shared or (array("d", [0.0]), 0)


class SharedBuckets:
    """A table of buckets in memory that the workers of a host share.

    A slot is claimed under a lock and then written without one, which would cost more than all else here. Two workers
    that decide within the same fraction of a microsecond count one request instead of two, and one that the machine
    stops just there forgets what the others counted until it goes on: rare, and in the clients' favour.

    Parameters
    ----------
    folder
        Of its file. Times in it are those of a clock that starts anew with the machine, and so does the file.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"rates-{_boot()}"
        for old in folder.glob("rates-*"):
            if old != path:
                old.unlink(missing_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        size = _SLOTS * _SLOT_BYTES
        self._lock()
        try:
            missing = size - os.fstat(self._descriptor).st_size
            if missing > 0:  # written, not just made longer: a full disk is met here, not by a signal later
                os.pwrite(self._descriptor, bytes(missing), size - missing)
        finally:
            self._unlock()
        self._map = mmap.mmap(self._descriptor, size)
        self._names = memoryview(self._map).cast("Q")
        self._until = memoryview(self._map).cast("d")

    def slot(self, tenant: str) -> tuple[MutableSequence[float], int] | None:
        """Return where a tenant's number is; None when the table is full."""
        name = int.from_bytes(blake2b(tenant.encode(), digest_size=8).digest(), "little") or 1
        self._lock()
        try:
            for k in range(_SLOTS):
                i = 2 * ((name + k) % _SLOTS)
                if self._names[i] in (0, name):
                    self._names[i] = name
                    return self._until, i + 1  # type: ignore[return-value]  # a memoryview of floats is one
        finally:
            self._unlock()
        return None

    def close(self) -> None:
        """Let go of the table; limiters that use it must not be asked any more."""
        self._names.release()
        self._until.release()
        self._map.close()
        os.close(self._descriptor)

    def _lock(self) -> None:
        if os.name == "posix":
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def _unlock(self) -> None:
        if os.name == "posix":
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _boot() -> str:
    """Return what is the same until the machine starts again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii")[:8]
    except OSError:  # not Linux: then the file should be in a folder that does not outlive the machine's run
        return "once"
