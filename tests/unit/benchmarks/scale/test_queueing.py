import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.benchmarks.scale.checks import predicted_p95_us, predicted_per_s
from beast_ml.benchmarks.scale.queueing import highest_load, response_us, waits

FIXED = np.array([100.0])
times = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30)


def one_after_the_other(service, gaps):
    """Lindley's recursion, as it is written."""
    found = [0.0]
    for n in range(1, len(service)):
        found.append(max(0.0, found[-1] + service[n - 1] - gaps[n]))
    return found


@settings(deadline=None)
@given(times, st.data())
def test_waits_are_those_of_the_recursion(service, data):
    gaps = data.draw(st.lists(st.floats(0.0, 100.0), min_size=len(service), max_size=len(service)))
    found = waits(np.array(service), np.array(gaps))
    assert found == pytest.approx(one_after_the_other(service, gaps), abs=1e-6)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_pollaczek_and_khinchines(load):
    rng = np.random.default_rng(1)
    service = rng.exponential(100.0, 400_000)
    gaps = rng.exponential(100.0 / load, service.size)
    expected = load / (1 - load) * 100.0  # M/M/1
    assert waits(service, gaps).mean() == pytest.approx(expected, rel=0.05)


def test_the_p95_of_exponential_service_is_the_known_one():
    service = np.random.default_rng(2).exponential(100.0, 50_000)
    # The response of M/M/1 is exponential with mean S / (1 - load).
    expected = -np.log(0.05) * service.mean() / (1 - 0.5)
    assert response_us(service, 0.5, n_requests=300_000) == pytest.approx(expected, rel=0.04)


@settings(deadline=None)
@given(st.floats(0.01, 0.97), st.floats(0.01, 0.97))
def test_more_load_is_never_faster(one, other):
    low, high = sorted((one, other))
    assert response_us(FIXED, low, n_requests=2_000) <= response_us(FIXED, high, n_requests=2_000) + 1e-6


def test_the_highest_load_keeps_to_the_limit_and_no_higher_one_does():
    load = highest_load(FIXED, 400.0)
    assert 0.5 < load < 0.9
    assert response_us(FIXED, load) <= 400.0
    assert response_us(FIXED, load + 0.01) > 400.0


def test_no_load_keeps_to_a_limit_below_what_one_request_takes():
    assert highest_load(FIXED, 99.0) == 0.0


def test_a_wide_limit_is_kept_at_any_load():
    assert highest_load(FIXED, 1e9) == pytest.approx(0.98)


def test_a_prediction_adds_what_is_not_the_workers():
    lonely = np.full(11, 250.0)
    alone = predicted_p95_us(lonely, 250.0, 100.0, 1e-6)
    assert alone == pytest.approx(250.0)  # 100 us of the worker, 150 of everything else
    assert predicted_p95_us(lonely, 250.0, 100.0, 0.5) > alone


def test_two_workers_give_twice_as_much_only_where_the_generator_has_cores_of_its_own():
    assert predicted_per_s(200.0, 50.0, 2, 16) == pytest.approx(10_000)
    assert predicted_per_s(200.0, 50.0, 2, 2) == pytest.approx(8_000)
