"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]


class FakeClock:
    """A `beast_ml.domain.Clock` for tests.

    Parameters
    ----------
    start
        The time it shows at first; aware.

    Raises
    ------
    ValueError
        If the start has no time zone.

    Examples
    --------
    >>> clock = FakeClock()
    >>> clock.advance(90.0)
    >>> clock.now().isoformat()
    '2026-01-01T00:01:30+00:00'
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"`start` == {start.isoformat()} has no time zone, give an aware time")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time it was set to, aware, in UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward; a negative number moves it back, as a machine's clock may."""
        self._now += timedelta(seconds=seconds)
