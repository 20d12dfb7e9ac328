from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.operations.costs.daily_model import draw_days
from beast_ml.operations.costs.forecast import forecast_month, read_hours
from beast_ml.testing.costly_logs import COSTLY_START, costly_log

NANO = 10**9


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def hourly(start: datetime, days: int, usd_of) -> dict[datetime, int]:
    """A dollar an hour, or what is said of a day."""
    return {
        start + timedelta(days=day, hours=hour): int(usd_of(start + timedelta(days=day)) * NANO)
        for day in range(days)
        for hour in range(24)
    }


def test_steady_spending_goes_on(rng) -> None:
    start, at = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 15, 12, tzinfo=UTC)
    hours = {hour: nano for hour, nano in hourly(start, 16, lambda day: 1.0).items() if hour < at}
    found = forecast_month(hours, at, rng)
    assert found.spent_usd == pytest.approx(14.5 * 24)
    assert found.expected_usd == pytest.approx(28 * 24, rel=0.01)
    assert found.low_usd <= found.expected_usd <= found.high_usd
    assert [day.isoformat() for day, *_ in found.days][::13] == ["2026-02-15", "2026-02-28"]


def test_weekends_are_told_from_weekdays(rng) -> None:
    start, at = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
    hours = {h: n for h, n in hourly(start, 60, lambda day: 0.25 if day.weekday() >= 5 else 1.0).items() if h < at}
    found = forecast_month(hours, at, rng)
    assert found.expected_usd == pytest.approx(24 * (22 + 9 * 0.25), rel=0.03)
    middle = {day: median for day, median, _, _ in found.days}
    assert all(median < 10 for day, median in middle.items() if day.weekday() >= 5)
    assert all(median > 20 for day, median in middle.items() if day.weekday() < 5)


def test_what_is_left_of_a_day_is_what_the_hours_left_have_cost_before(rng) -> None:
    """All is spent by noon: an evening before the end of the month, nothing more is expected."""
    start = datetime(2026, 4, 1, tzinfo=UTC)
    hours = {h: n for h, n in hourly(start, 30, lambda day: 1.0).items() if h.hour < 12}
    evening = forecast_month(hours, datetime(2026, 4, 30, 18, tzinfo=UTC), rng)
    assert evening.high_usd == evening.low_usd == evening.spent_usd == 30 * 12


def test_a_month_begins_at_nothing(rng) -> None:
    hours = hourly(datetime(2026, 1, 1, tzinfo=UTC), 31, lambda day: 1.0)
    found = forecast_month(hours, datetime(2026, 2, 1, tzinfo=UTC), rng)
    assert (found.month, found.spent_usd, len(found.days)) == ("2026-02", 0.0, 28)
    assert found.expected_usd == pytest.approx(28 * 24, rel=0.01)


def test_days_without_a_request_cost_nothing_and_count(rng) -> None:
    hours = hourly(datetime(2026, 1, 1, tzinfo=UTC), 28, lambda day: float(day.weekday() < 5))
    found = forecast_month({h: n for h, n in hours.items() if n}, datetime(2026, 1, 29, tzinfo=UTC), rng)
    weekend = [median for day, median, _, _ in found.days if day.weekday() >= 5]
    assert len(found.history) == 27
    assert max(weekend) < 1.0


def test_less_than_a_week_is_no_basis(tmp_path, rng) -> None:
    store = costly_log(tmp_path / "s", 6, 5)
    at = COSTLY_START + timedelta(days=6)
    with pytest.raises(NotEnoughDataError, match="at least 7"):
        forecast_month(read_hours(store, at), at, rng)
    with pytest.raises(NotEnoughDataError, match="some cost"):
        draw_days(np.zeros(10), 3, rng)


def test_a_tenants_forecast_reads_its_own_requests_only(tmp_path) -> None:
    store = costly_log(tmp_path / "s", 10, 20)
    at = COSTLY_START + timedelta(days=10)
    both, acme, globex = (read_hours(store, at, tenant) for tenant in (None, "acme", "globex"))
    assert sum(acme.values()) + sum(globex.values()) == sum(both.values())
    assert read_hours(store, at, "nobody") == {}
