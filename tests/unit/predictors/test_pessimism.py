import numpy as np
import pytest

from beast_ml.predictors.pessimism import PESSIMISM_Z, Pessimism, fit_pessimism


@pytest.fixture
def two_kinds():
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 100)
    rows = (np.array([[-5.0, 0.0], [5.0, 0.0]])[kind] + 0.1 * rng.standard_normal((200, 2))).astype(np.float32)
    return rows, np.array([[0.01, 0.3], [0.2, 0.02]])[kind]


def fitted(two_kinds, n_kinds=2, seed=0):
    rows, widths = two_kinds
    return fit_pessimism(rows, widths, np.zeros(2), np.ones(2), np.random.default_rng(seed), n_kinds)


def test_a_penalty_is_the_mean_width_of_the_kind_of_request(two_kinds):
    rows, widths = two_kinds
    np.testing.assert_allclose(fitted(two_kinds, 8).predict(rows), PESSIMISM_Z * widths, rtol=1e-6)


def test_features_behind_the_prompts_are_not_read(two_kinds):
    rows, _ = two_kinds
    with_history = np.hstack([rows, np.full((200, 3), 99.0, np.float32)])
    np.testing.assert_array_equal(fitted(two_kinds).predict(with_history), fitted(two_kinds).predict(rows))


def test_it_comes_back_from_its_arrays(two_kinds):
    pessimism = fitted(two_kinds)
    again = Pessimism.restore(pessimism.arrays())
    np.testing.assert_array_equal(again.predict(two_kinds[0]), pessimism.predict(two_kinds[0]))


def test_fewer_requests_than_kinds_are_no_trouble(two_kinds):
    rows, widths = two_kinds
    few = fit_pessimism(rows[:3], widths[:3], np.zeros(2), np.ones(2), np.random.default_rng(0))
    assert few.predict(rows).shape == (200, 2)
