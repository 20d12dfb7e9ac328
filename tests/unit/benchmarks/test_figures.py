import numpy as np
import pytest

from beast_ml.benchmarks.figures import from_intervals, over_seeds
from beast_ml.evaluation.bootstrap import Estimate


def test_the_standard_error_is_that_of_the_mean_over_seeds():
    figure = over_seeds("p", "d", "r", "n", [np.array([value, value]) for value in (0.1, 0.2, 0.6)])
    assert figure.value == pytest.approx(0.3)
    assert figure.standard_error == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3))
    assert figure.seeds == pytest.approx((0.1, 0.2, 0.6))


def test_the_interval_is_that_of_the_mean_on_each_resample():
    # Two seeds whose resamples move against each other: their mean does not move.
    up, down = np.array([0.5, *np.linspace(0, 1, 99)]), np.array([0.5, *np.linspace(1, 0, 99)])
    figure = over_seeds("p", "d", "r", "n", [up, down])
    assert (figure.low, figure.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_one_seed_has_no_standard_error_and_no_resamples_no_interval():
    figure = over_seeds("p", "d", "r", "n", [np.array([0.4])])
    assert (figure.value, figure.standard_error, figure.low, figure.high) == (0.4, None, None, None)


def test_what_some_seed_does_not_define_is_not_defined():
    assert over_seeds("p", "d", "r", "n", [np.array([0.4, 0.4]), np.array([np.nan, 0.4])]).value is None
    assert from_intervals("p", "d", "r", "n", [Estimate(0.1), Estimate(None)]).value is None


def test_ends_of_intervals_are_averaged_where_all_seeds_have_them():
    figure = from_intervals("p", "d", "r", "n", [Estimate(0.2, None, 0.3), Estimate(0.4, None, 0.5)])
    assert (figure.value, figure.low, figure.high) == (pytest.approx(0.3), None, pytest.approx(0.4))
