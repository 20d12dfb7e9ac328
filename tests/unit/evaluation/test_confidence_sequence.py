import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.evaluation.confidence_sequence import (
    always_valid_p_value,
    empirical_bernstein_sequence,
    normal_mixture_radius,
    rho_tightest_at,
)


def test_rho_is_the_one_that_makes_the_radius_smallest_at_its_sample_size():
    best = rho_tightest_at(500, alpha=0.1)
    radius = [float(normal_mixture_radius(500, 1.0, best * scale, alpha=0.1)) for scale in (0.9, 0.99, 1.0, 1.01, 1.1)]
    assert min(radius) == radius[2]


def test_the_p_value_is_alpha_exactly_where_the_sequence_touches_zero():
    rho, n = rho_tightest_at(300), np.array([40, 300, 5000])
    for alpha in (0.01, 0.05, 0.2):
        radius = normal_mixture_radius(n, 0.3, rho, alpha)
        np.testing.assert_allclose(always_valid_p_value(radius, n, 0.3, rho), alpha)


def test_nothing_seen_excludes_nothing():
    assert normal_mixture_radius(0, 1.0, 0.1) == np.inf
    assert always_valid_p_value(0.0, 0, 0.0, 0.1) == 1.0


def test_a_sure_difference_is_significant():
    assert always_valid_p_value(0.5, 100, 0.0, 0.1) == 0.0


def test_the_radius_follows_the_unit_of_the_values():
    one, cent = normal_mixture_radius(50, 4.0, 0.2), normal_mixture_radius(50, 4.0e4, 0.2)
    np.testing.assert_allclose(cent, 100 * one)


def test_the_bernstein_sequence_follows_the_unit_of_the_values():
    values = np.random.default_rng(0).random((3, 200))
    unit = empirical_bernstein_sequence(values, 0, 1)
    scaled = empirical_bernstein_sequence(5 * values - 2, -2, 3)
    np.testing.assert_allclose(scaled.low, 5 * unit.low - 2)
    np.testing.assert_allclose(scaled.high, 5 * unit.high - 2)


def test_no_bound_depends_on_a_later_value():
    values = np.random.default_rng(0).random(200)
    np.testing.assert_array_equal(
        empirical_bernstein_sequence(values, 0, 1).low[:50], empirical_bernstein_sequence(values[:50], 0, 1).low
    )


def test_a_sequence_tuned_for_a_sample_size_is_tighter_there():
    values = np.random.default_rng(0).random(1000)
    tuned, spread = (empirical_bernstein_sequence(values, 0, 1, tightest_at=n) for n in (1000, None))
    assert tuned.high[-1] - tuned.low[-1] < spread.high[-1] - spread.low[-1]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.2, float("nan")])
def test_an_alpha_outside_zero_and_one_is_refused(alpha):
    with pytest.raises(InputError, match="must be between 0 and 1"):
        normal_mixture_radius(10, 1.0, 0.1, alpha)


@pytest.mark.parametrize("rho", [0.0, -1.0, float("inf")])
def test_a_rho_that_is_no_width_is_refused(rho):
    with pytest.raises(InputError, match="rho"):
        always_valid_p_value(0.1, 10, 1.0, rho)


def test_a_sample_size_of_zero_is_no_place_to_be_tightest_at():
    with pytest.raises(InputError, match="above 0"):
        rho_tightest_at(0)


def test_values_outside_their_range_are_refused():
    with pytest.raises(InputError, match=r"0\.5 to 1\.5"):
        empirical_bernstein_sequence([0.5, 1.5], 0, 1)


def test_an_empty_range_is_refused():
    with pytest.raises(InputError, match="above the first"):
        empirical_bernstein_sequence([0.5], 1, 1)
