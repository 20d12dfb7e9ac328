from datetime import date

import pytest
from matplotlib.figure import Figure

from beast_ml.operations.costs.plot import draw_costs
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.periodic_report.pictures import draw_days

LAST = date(2026, 10, 31)


@pytest.fixture
def figures(monkeypatch):
    """Return the list of figures that are saved from now on."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: saved.append(figure))
    return saved


def sums(n):
    names = ("requests", "quality", "labelled", "cost", "timed", "latency", "cached", "ended", "failed")
    return dict.fromkeys(names, float(n)) | {"days": 1.0}


@pytest.mark.parametrize(("kind", "points", "unit"), [("quarter", 92, "day"), ("year", 53, "week")])
def test_a_long_period_is_drawn_week_by_week_as_means_of_its_days(kind, points, unit, tmp_path, figures):
    period = Period.ending(kind, LAST)
    days = {day: sums(10 + day.weekday()) for day in period.days}
    draw_days(tmp_path / "days.png", days, {}, period)
    now = figures[0].axes[0].lines[1].get_ydata()
    assert len(now) == points
    assert figures[0].axes[-1].get_xlabel() == f"{unit} of the period"
    assert kind == "quarter" or now[0] == 13.0  # of 10 to 16

    rows = [{"model": model, "day": str(day), "cost_usd": 2.0} for day in period.days for model in "ab"]
    draw_costs(tmp_path / "costs.png", rows, None, "costs")
    bars = figures[1].axes[0].patches
    assert len(bars) == 2 * points
    assert {bar.get_height() for bar in bars} == {2.0}
    assert ("week" in figures[1].axes[0].get_ylabel()) == (unit == "week")


def test_days_on_which_nothing_was_spent_count_in_the_mean_of_a_week(tmp_path, figures):
    days = Period.ending("year", LAST).days[::7]
    rows = [{"model": "a", "day": str(day), "cost_usd": 7.0} for day in days]
    draw_costs(tmp_path / "costs.png", rows, None, "costs")
    assert [bar.get_height() for bar in figures[0].axes[0].patches[:-1]] == pytest.approx([1.0] * (len(days) - 1))
