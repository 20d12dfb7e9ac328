import numpy as np
import pytest

from beast_ml.benchmarks.cache.vcache import Correctness, run_stream


def draws(n, midpoint=0.8, slope=40.0, seed=0):
    rng = np.random.default_rng(seed)
    s = rng.uniform(0.5, 1.0, n)
    return s, rng.random(n) < 1 / (1 + np.exp(-slope * (s - midpoint)))


def test_the_fit_finds_midpoint_and_slope():
    model = Correctness.fit(*draws(4000))
    assert model.midpoint == pytest.approx(0.8, abs=0.01)
    assert model.slope == pytest.approx(40, rel=0.15)


def test_the_error_of_the_midpoint_is_what_it_varies_by():
    midpoints = [Correctness.fit(*draws(200, seed=seed)).midpoint for seed in range(200)]
    errors = [Correctness.fit(*draws(200, seed=seed)).midpoint_sd for seed in range(20)]
    assert np.std(midpoints) == pytest.approx(np.mean(errors), rel=0.25)


def test_observations_that_a_threshold_tells_apart_give_a_finite_fit():
    model = Correctness.fit([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], [0, 0, 0, 1, 1, 1])
    assert 0.65 < model.midpoint < 0.85
    assert 0 < model.midpoint_sd < 0.5
    assert np.isfinite(model.slope)


def test_near_requests_are_served_more_often_and_none_for_certain_where_it_is_wrong():
    model = Correctness.fit(*draws(2000))
    explore = model.explore_probability([0.6, 0.8, 0.95, 1.0], 0.02)
    assert (np.diff(explore) <= 1e-12).all()
    assert explore[0] > 0.97
    assert explore[-1] < 0.2


@pytest.mark.parametrize("delta", [0.02, 0.05])
def test_wrong_hits_stay_below_delta_of_the_stream(delta):
    # Forty questions asked again and again in slightly other words.
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(40, 32))
    answers = rng.integers(40, size=4000)
    vectors = centres[answers] + 0.45 * rng.normal(size=(4000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = run_stream(vectors.astype(np.float32), answers.tolist(), delta, rng)
    assert counts.n_hits > 250
    assert counts.n_wrong / counts.n_lookups <= delta


def test_an_entry_that_was_never_seen_to_be_right_is_not_served():
    vectors = np.eye(5, dtype=np.float32)
    assert run_stream(vectors, [0, 1, 2, 3, 4], 0.1, np.random.default_rng(0)).n_hits == 0
