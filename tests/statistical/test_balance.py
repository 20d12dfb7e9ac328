"""Equal endpoints share calls almost exactly, over any 1,000 of them; unequal ones are told apart."""

import heapq
import random

import numpy as np
import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.operations.health import FleetHealth

WINDOW = 1000


def simulate(n_endpoints, rate, latency_s, *, n_calls=20_000, seed=0, failure_rate=0.0):
    """Return which endpoint took each call; calls come at random, latencies are drawn by (endpoint, time, rng)."""
    rng = random.Random(seed)
    now = 0.0
    fleet = FleetHealth(
        [Endpoint(f"e{i}", "model", "http://localhost") for i in range(n_endpoints)],
        clock=lambda: now,
        rng=random.Random(seed + 1),
    )
    ends, took = [], []
    for _ in range(n_calls):
        now_next = now + rng.expovariate(rate)
        while ends and ends[0][0] <= now_next:
            now, name, latency, failed = heapq.heappop(ends)
            fleet.finished(name, "provider" if failed else None, latency)
        now = now_next
        endpoint = fleet.pick("model")
        if endpoint is None:
            continue
        fleet.started(endpoint.name)
        index = int(endpoint.name[1:])
        latency = latency_s(index, now, rng)
        heapq.heappush(ends, (now + latency, endpoint.name, latency, rng.random() < failure_rate))
        took.append(index)
    return np.array(took)


def worst_imbalance(took, n_endpoints):
    """Return the largest (max - mean) / mean of calls by endpoint over all windows of 1,000 calls."""
    sums = np.cumsum(np.eye(n_endpoints)[took], axis=0)
    windows = sums[WINDOW:] - sums[:-WINDOW]
    return float((windows.max(axis=1) / windows.mean(axis=1) - 1.0).max())


def long_tailed(index, now, rng):
    return rng.lognormvariate(0.5, 0.8)


@pytest.mark.parametrize("n_endpoints", [2, 3, 5, 10])
@pytest.mark.parametrize("in_flight_each", [0.05, 1.0, 20.0])
def test_equal_endpoints_are_balanced_within_5_percent_over_any_1000(n_endpoints, in_flight_each):
    worst = 0.0
    for seed in range(3):
        took = simulate(n_endpoints, in_flight_each * n_endpoints / 2.3, long_tailed, seed=seed)
        worst = max(worst, worst_imbalance(took, n_endpoints))
    print(f"{n_endpoints} endpoints, {in_flight_each} in flight each: {worst:.2%}")  # noqa: T201
    assert worst < 0.05


def test_equal_endpoints_that_fail_at_times_are_balanced_too():
    took = simulate(3, 10.0, long_tailed, failure_rate=0.03)
    assert worst_imbalance(took, 3) < 0.05


@pytest.mark.parametrize("in_flight_each", [0.5, 20.0])
def test_the_slow_one_of_two_gets_what_is_left(in_flight_each):
    took = simulate(2, in_flight_each, lambda index, now, rng: rng.lognormvariate(0.0, 0.6) * (4.0 if index else 1.0))
    assert 0.001 < np.mean(took[2000:] == 1) < 0.3


def test_one_that_gets_fast_again_is_found():
    def latency_s(index, now, rng):
        return rng.lognormvariate(0.0, 0.5) * (10.0 if index == 0 and now < 600.0 else 1.0)

    took = simulate(3, 10.0, latency_s, n_calls=30_000)
    slow, fast = took[2_000:6_000], took[-5_000:]
    assert np.mean(slow == 0) < 0.15
    assert abs(np.mean(fast == 0) - 1 / 3) < 0.05


def test_one_that_hangs_is_avoided_before_its_calls_time_out():
    took = simulate(2, 20.0, lambda index, now, rng: 60.0 if index and now > 60.0 else rng.lognormvariate(-0.5, 0.5))
    first_minute = took[1_200 + 200 : 1_200 + 1_000]
    assert np.mean(first_minute == 1) < 0.3
