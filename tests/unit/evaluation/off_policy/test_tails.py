import numpy as np
import pytest

from beast_ml.evaluation.off_policy.tails import pareto_shape, weight_tail


@pytest.mark.parametrize("k", [0.3, 0.6, 1.0])
def test_the_shape_of_a_pareto_tail_is_found(k):
    found = [pareto_shape(np.random.default_rng(seed).random(5000) ** -k) for seed in range(20)]
    assert np.mean(found) == pytest.approx(k, abs=0.08)


def test_light_tails_have_a_small_shape():
    assert pareto_shape(np.random.default_rng(0).random(5000)) < 0


@pytest.mark.parametrize("weight", [np.ones(2000), np.tile([0.0, 4.0], 1000), np.ones(30)])
def test_weights_of_one_size_have_no_tail(weight):
    assert pareto_shape(weight) is None


def test_shares_are_of_the_sum():
    found = weight_tail(np.r_[10.0, np.ones(90)])
    assert (found.largest, found.share_of_largest, found.share_of_top_10) == (10.0, 10 / 100, 19 / 100)
    assert found.behind_spread == pytest.approx(190**2 / (10**4 + 90))


def test_no_weight_has_no_tail():
    assert weight_tail(np.zeros(5)).share_of_largest == 0.0


def test_weights_of_two_sizes_that_fit_an_exponential_tail_have_a_shape():
    weight = np.zeros(2304)
    weight[:100], weight[100:144] = 1.0, 3.0  # the largest is three times the quartile
    assert np.isfinite(pareto_shape(weight))
