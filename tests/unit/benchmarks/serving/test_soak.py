import numpy as np
import pytest

from beast_ml.benchmarks.serving.soak import memory_slope, soak
from beast_ml.benchmarks.serving.subjects import echo


def test_a_growth_is_found_and_its_interval_holds_it():
    at_s = np.arange(0, 3600, 10.0)
    noise = np.random.default_rng(0).normal(0, 1.0, at_s.size)
    slope = memory_slope(at_s, 100 + 12.0 * at_s / 3600 + noise)
    assert slope.low < 12.0 < slope.high
    assert slope.low > 10.0


def test_the_interval_of_no_growth_holds_zero_as_often_as_it_says():
    rng, at_s = np.random.default_rng(1), np.arange(0, 3600, 10.0)
    slopes = [memory_slope(at_s, 100 + rng.normal(0, 1.0, at_s.size)) for _ in range(300)]
    assert np.mean([slope.low <= 0 <= slope.high for slope in slopes]) == pytest.approx(0.95, abs=0.04)


def test_what_happens_while_caches_fill_is_no_growth():
    at_s = np.arange(0, 1000, 1.0)
    assert memory_slope(at_s, np.minimum(50 + at_s, 200)).mb_per_h == pytest.approx(0)


def test_too_few_looks_give_no_slope():
    assert memory_slope([1.0, 2.0], [1.0, 1.0]) is None
    assert memory_slope([], []) is None


def test_a_soak_watches_memory_under_steady_load(tmp_path, bodies):
    told = []
    result = soak(echo(), bodies, 0.03, [0], tmp_path, lambda done, total: told.append((done, total)), rate=100.0)
    assert result.load.failed == 0
    assert result.load.answered == pytest.approx(180, abs=60)
    assert len(result.at_s) == len(result.worker_mb) == len(result.other_mb) == len(told) > 0
    assert min(result.worker_mb) > 1
