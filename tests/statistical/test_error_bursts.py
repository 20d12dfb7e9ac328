"""Patterns are called new no more often than is promised, and their start is where the interval says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from beast_ml.operations.error_burst import find_burst

BINS, WINDOW, RUNS = 1024, 896, 200


def busy(rng: np.random.Generator, a_bin: float) -> np.ndarray:
    """Return calls that come and go with the days."""
    return rng.poisson(a_bin * (1 + 0.8 * np.sin(np.arange(BINS) / BINS * 16 * np.pi)))


@pytest.mark.parametrize(("a_bin", "rate"), [(6.0, 0.02), (40.0, 0.002), (6.0, 0.5)])
@pytest.mark.parametrize("clumped", [False, True])
def test_failures_that_do_not_know_of_time_are_called_new_at_the_level_at_most(
    a_bin: float, rate: float, clumped: bool
) -> None:
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(RUNS):
        calls = busy(rng, a_bin)
        rates = np.minimum(rate * (rng.gamma(0.5, 2.0, BINS) if clumped else np.ones(BINS)), 1.0)
        burst = find_burst(rng.binomial(calls, rates), calls, rng, reaching=WINDOW, n_permutations=199)
        found += burst is not None and burst.p_value <= 0.05
    assert stats.binomtest(found, RUNS, 0.05, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(("before", "during"), [(0.02, 0.1), (0.0, 0.3), (0.3, 0.5)])
def test_the_start_of_a_burst_lies_in_its_interval(before: float, during: float) -> None:
    rng = np.random.default_rng(12)
    held = seen = 0
    for _ in range(RUNS):
        calls, first = busy(rng, 12.0), int(rng.integers(800, 950))
        rates = np.where(np.arange(BINS) >= first, during, before)
        burst = find_burst(rng.binomial(calls, rates), calls, rng, reaching=WINDOW, n_permutations=39)
        if burst is not None and burst.p_value <= 0.05:
            seen += 1
            held += burst.first_low <= first <= burst.first_high
    assert seen > 0.95 * RUNS
    assert stats.binomtest(held, seen, 0.95, alternative="less").pvalue > 1e-3
