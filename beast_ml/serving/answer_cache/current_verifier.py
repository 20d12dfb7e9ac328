"""The verifier that goes with the trained cache that the process of the host works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.errors import BundleError
from beast_ml.events import events

__all__ = ["CurrentVerifier", "InUse"]

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0


class InUse(msgspec.Struct, frozen=True):
    """A verifier, and the least score that its threshold can ever come down to.

    Parameters
    ----------
    floor
        That least score.
    """

    verifier: Verifier
    floor: float


class CurrentVerifier:
    """Loads the verifier when the trained cache changes, and again, ever more rarely, while that fails.

    One thread uses it at a time.

    Parameters
    ----------
    verifier_of
        Returns the verifier of the trained cache with a digest; None: it has none.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, verifier_of: Callable[[str], TrainedVerifier | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._verifier_of, self._clock = verifier_of, clock
        self._cache: str | None = None
        self._in_use: InUse | None = None
        self._due: float | None = None
        self._wait_s = _FIRST_WAIT_S
        self._failed = False

    def of(self, cache: str) -> InUse | None:
        """Return the verifier of the trained cache with a digest; None while there is none. May read a folder."""
        if cache != self._cache:
            self._cache, self._in_use, self._due, self._wait_s = cache, None, self._clock(), _FIRST_WAIT_S
        if self._due is not None and self._clock() >= self._due:
            self._load(cache)
        return self._in_use

    def _load(self, cache: str) -> None:
        self._due = self._clock() + self._wait_s  # whatever happens now
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)
        try:
            trained = self._verifier_of(cache)
        except (BundleError, OSError) as error:  # another worker is still copying it, or the disk is away
            if not self._failed:
                events.error("cache.no_verifier", cache=cache, error=str(error))
            self._failed = True
            return
        if self._failed:
            events.warning("cache.verifier_is_back", cache=cache)
        self._failed, self._due = False, None
        self._in_use = None if trained is None else InUse(trained.verifier, trained.grid()[-1])
