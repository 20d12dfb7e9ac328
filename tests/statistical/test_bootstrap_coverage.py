"""Do the intervals of routing metrics hold the truth as often as they say?"""

import numpy as np
import pytest

from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard

N_QUERIES, N_RESAMPLES, N_SETS = 400, 200, 250
GRID = np.linspace(0, 1, 9)
METRICS = ("aiq", "share_of_gap", "quality_gain", "saving", "regret", "optimal_selection")


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return qualities, costs, and the choices of a router that sees a noisy sign of difficulty."""
    hardness = rng.random(n)
    quality = rng.random((n, 3)) < np.clip(np.array([0.75, 0.85, 0.97]) - hardness[:, None] * [0.6, 0.4, 0.2], 0, 1)
    cost = rng.lognormal(0, 0.4, (n, 1)) * [1.0, 3.0, 10.0]
    sign = hardness + 0.3 * rng.standard_normal(n)
    choices = [(sign > 1 - t * 0.6).astype(int) + (sign > 1.2 - t * 0.8).astype(int) for t in GRID]
    return quality.astype(float), cost, np.array(choices, dtype=np.int16)


def metrics(rng: np.random.Generator, n: int, resamples: int) -> dict[str, np.ndarray]:
    quality, cost, choices = draw(rng, n)
    board = Scoreboard(quality, cost, 2, 10.0, QueryBootstrap.draw(rng, n, resamples))
    return board.curve_metrics(board.points(choices)) | board.point_metrics(choices[4])


@pytest.mark.slow
def test_95_percent_intervals_hold_the_truth_about_95_percent_of_the_time():
    truth = {name: values[0] for name, values in metrics(np.random.default_rng(0), 200_000, 0).items()}
    rng = np.random.default_rng(1)
    held = dict.fromkeys(METRICS, 0)
    for _ in range(N_SETS):
        found = metrics(rng, N_QUERIES, N_RESAMPLES)
        for name in METRICS:
            estimate = Estimate.of(found[name])
            held[name] += estimate.low <= truth[name] <= estimate.high
    coverage = {name: count / N_SETS for name, count in held.items()}
    # 250 sets: the standard error of a coverage of .95 is .014.
    assert all(0.90 <= covered <= 0.99 for covered in coverage.values()), coverage
