from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.operations.periodic_report.period import PERIOD_KINDS, Period


@pytest.mark.parametrize(
    ("kind", "last", "first"),
    [
        ("week", date(2026, 3, 1), date(2026, 2, 23)),
        ("month", date(2026, 2, 28), date(2026, 2, 1)),
        ("month", date(2026, 3, 30), date(2026, 2, 28)),
        ("quarter", date(2026, 3, 31), date(2026, 1, 1)),
        ("year", date(2024, 2, 29), date(2023, 3, 1)),
        ("year", date(2026, 12, 31), date(2026, 1, 1)),
    ],
)
def test_a_period_ends_with_a_day_and_whole_months_are_whole(kind, last, first) -> None:
    assert Period.ending(kind, last).first == first


@given(st.sampled_from(PERIOD_KINDS), st.dates(date(1990, 1, 1), date(2100, 1, 1)))
def test_the_period_before_ends_where_this_begins(kind, last) -> None:
    period = Period.ending(kind, last)
    assert period.before().until == period.since
    assert (period.until - period.since).total_seconds() == period.n_days * 86_400  # no day is shorter: they are UTC's
    assert (period.days[0], period.days[-1], len(period.days)) == (period.first, period.last, period.n_days)


def test_its_times_are_of_utc() -> None:
    period = Period.ending("week", date(2026, 3, 29))
    assert period.until == datetime(2026, 3, 30, tzinfo=UTC)
