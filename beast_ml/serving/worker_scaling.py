"""When a host should have one worker more, or one fewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from beast_ml.errors import InputError

__all__ = ["WorkerScaling"]


class WorkerScaling:
    """Decides from how busy the workers are: up after seconds of load, down after minutes of calm.

    Parameters
    ----------
    least, most
        Workers.
    busy
        Share of a core, 0..1, that workers use on average: above it for `busy_s` one is added.
    busy_s
        Seconds of load.
    calm
        The same share, as it would be with one worker fewer: below it for `calm_s` one is taken away.
    calm_s
        Seconds of calm.
    clock
        Monotonic seconds.

    Raises
    ------
    InputError
        If the bounds contradict each other.

    Examples
    --------
    >>> now = 0.0
    >>> scaling = WorkerScaling(1, 4, clock=lambda: now)
    >>> scaling.step(1, 0.9)
    0
    >>> now = 5.0
    >>> scaling.step(1, 0.9)
    1
    """

    def __init__(
        self,
        least: int,
        most: int,
        *,
        busy: float = 0.7,
        busy_s: float = 5.0,
        calm: float = 0.4,
        calm_s: float = 180.0,
        clock: Callable[[], float],
    ) -> None:
        if not 1 <= least <= most:
            raise InputError(f"from {least} to {most} workers: must be at least 1, and at most no fewer than at least")
        if not 0 < calm < busy < 1:
            raise InputError(f"`calm` == {calm} and `busy` == {busy}: must be 0 < calm < busy < 1")
        self._least, self._most = least, most
        self._busy, self._busy_s, self._calm, self._calm_s = busy, busy_s, calm, calm_s
        self._clock = clock
        self._busy_since: float | None = None
        self._calm_since: float | None = None

    def step(self, n_workers: int, busy: float) -> Literal[-1, 0, 1]:
        """Return how many workers to add now.

        Parameters
        ----------
        n_workers
            That there are.
        busy
            Their mean share of a core since the last call.
        """
        now = self._clock()
        is_busy = busy > self._busy and n_workers < self._most
        is_calm = n_workers > self._least and busy * n_workers < self._calm * (n_workers - 1)
        self._busy_since = (now if self._busy_since is None else self._busy_since) if is_busy else None
        self._calm_since = (now if self._calm_since is None else self._calm_since) if is_calm else None
        if self._busy_since is not None and now - self._busy_since >= self._busy_s:
            self._busy_since = None  # what the new one changes is to be seen first
            return 1
        if self._calm_since is not None and now - self._calm_since >= self._calm_s:
            self._calm_since = None
            return -1
        return 0
