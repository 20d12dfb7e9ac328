from datetime import UTC, datetime, timedelta, timezone

import pytest

from beast_ml.domain import Clock
from beast_ml.testing.clock import FakeClock


def test_it_stands_still_until_it_is_moved():
    clock: Clock = FakeClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    clock.advance(-3.0)
    assert clock.now() < start


def test_any_zone_goes_in_and_utc_comes_out():
    start = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert FakeClock(start).now() == start
    assert FakeClock(start).now().tzinfo is UTC


def test_a_start_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001
