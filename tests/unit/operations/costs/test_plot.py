"""The picture of costs."""

from datetime import date, timedelta

import pytest
from matplotlib.figure import Figure

from beast_ml.operations.costs.plot import draw_costs


@pytest.mark.parametrize("n_days", [1, 2, 3, 31, 95, 400])
def test_days_are_labelled_apart_from_one_another_and_no_hours(tmp_path, monkeypatch, n_days) -> None:
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path: (save(self, path), figures.append(self)))
    days = (date(2026, 3, 2) + timedelta(days=i) for i in range(n_days))
    rows = [{"day": day.isoformat(), "model": "large", "cost_usd": 1.0} for day in days]
    draw_costs(tmp_path / "costs.png", rows, None, "Costs")
    (axes,) = figures[0].axes
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent(figures[0].canvas.get_renderer()) for label in labels]
    assert labels
    assert not any(":" in label.get_text() for label in labels)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])
