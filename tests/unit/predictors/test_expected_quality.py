import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.predictors.expected_quality import from_benchmark, from_price

POOL = ("large", "small")
QUALITY = np.array([0.8, 0.4])


def test_scores_equal_to_qualities_are_taken_as_they_are():
    scores = {"large": 0.8, "small": 0.4, "new": 0.6}
    assert from_benchmark("new", scores, POOL, QUALITY) == pytest.approx(0.6)


def test_a_harder_benchmark_is_translated():
    scores = {"large": 0.5, "small": 0.1, "new": 0.5}
    assert from_benchmark("new", scores, POOL, QUALITY) == pytest.approx(0.8)


def test_one_known_candidate_is_enough():
    assert from_benchmark("new", {"small": 0.2, "new": 0.2}, POOL, QUALITY) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"new": 71.0, "small": 0.5}, "0.71"),
        ({"new": 0.7}, "at least one"),
        ({"small": 0.7}, "'new'"),
        ({"new": 0.7, "smal": 0.7}, "'smal'"),
    ],
)
def test_scores_that_tell_nothing_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        from_benchmark("new", scores, POOL, QUALITY)


def test_where_price_goes_with_quality_a_dear_model_is_expected_to_be_good():
    prices = [Price(10.0, 30.0), Price(0.1, 0.3)]
    assert from_price(Price(20.0, 60.0), prices, QUALITY) == pytest.approx(0.8)
    assert from_price(Price(0.01, 0.03), prices, QUALITY) == pytest.approx(0.4)


def test_where_it_does_not_or_is_unknown_the_mean_is_expected():
    dear_and_bad = [Price(0.1, 0.3), Price(10.0, 30.0)]
    assert from_price(Price(20.0, 60.0), dear_and_bad, QUALITY) == pytest.approx(0.6)
    assert from_price(None, dear_and_bad, QUALITY) == pytest.approx(0.6)
    assert from_price(Price(1.0, 1.0), [None, None], QUALITY) == pytest.approx(0.6)
