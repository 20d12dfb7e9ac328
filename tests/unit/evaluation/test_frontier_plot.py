from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from beast_ml.evaluation import frontier_plot
from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.decisions import RouterDecisions
from beast_ml.evaluation.frontier_plot import draw_frontier
from beast_ml.evaluation.pool import Pool
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.evaluation.scores import score_oracle, score_router
from beast_ml.policy.utility import Predictions


def drawn(monkeypatch, tmp_path, m, dearest, resamples=20, alike=False):
    """Draw an evaluation of m models and return the axes."""
    rng = np.random.default_rng(0)  # its own, so that no test depends on which ran before it
    n = 60
    models = tuple(f"model-{i:02d}" for i in range(m))
    quality = np.ones((n, m)) if alike else (rng.random((n, m)) < np.linspace(0.3, 0.9, m)).astype(float)
    quality[:5] = 0.0
    cost = rng.uniform(0.9, 1.1, (n, m)) * np.geomspace(1.0, dearest, m)
    board = Scoreboard(quality, cost, m - 1, np.inf, QueryBootstrap.draw(rng, n, resamples))
    choices = np.stack([np.full(n, 0), rng.integers(m, size=n), np.full(n, m - 1)]).astype(np.int16)
    predictions = Predictions(models, quality, cost)
    router = RouterDecisions("beast", "prompt", np.array([0, 1, np.inf]), choices, choices[1], None, predictions)
    everything = np.ones(n, dtype=bool)
    scores = {
        "beast": score_router(board, router, everything, rng, predicts=False, costs=True),
        "oracle": score_oracle(board, models),
    }
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: figures.append(self))
    draw_frontier(
        tmp_path / "f.png", scores, board, Pool(models, "cost_usd", {}), SimpleNamespace(sentence="So it is.")
    )
    return figures[0].axes[0]


def test_a_small_pool_has_all_its_models_named(monkeypatch, tmp_path):
    axes = drawn(monkeypatch, tmp_path, 4, 3.0)
    assert {text.get_text() for text in axes.texts} == {f"model-{i:02d}" for i in range(4)}
    assert axes.get_xscale() == "linear"
    assert axes.get_title(loc="left") == "So it is."
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "beast (95% band)" in labels
    assert "beast, operating point" in labels
    assert "oracle" in labels


def test_in_a_large_pool_only_the_models_that_matter_are_named(monkeypatch, tmp_path):
    axes = drawn(monkeypatch, tmp_path, 30, 3.0)
    named = {text.get_text() for text in axes.texts}
    assert {"model-00", "model-29"} <= named
    assert len(named) < 30


def test_costs_of_different_size_are_drawn_on_a_logarithmic_axis(monkeypatch, tmp_path):
    assert drawn(monkeypatch, tmp_path, 5, 500.0).get_xscale() == "log"


def test_names_of_models_that_lie_together_are_not_written_over_one_another(monkeypatch, tmp_path):
    axes = drawn(monkeypatch, tmp_path, 3, 1.001, alike=True)
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_without_resamples_there_is_no_band_to_draw(monkeypatch, tmp_path):
    assert drawn(monkeypatch, tmp_path, 3, 3.0, resamples=0).get_xlabel() == "mean cost, USD per query"


@pytest.mark.parametrize(("low", "high", "arms"), [(None, 1.0, None), (0.25, 1.0, [[0.25], [0.5]])])
def test_an_interval_becomes_two_arms(low, high, arms):
    assert frontier_plot._arms(0.5, low, high) == arms
