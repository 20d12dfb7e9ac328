import numpy as np
import pytest

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.strong_calls import strong_call_metrics


def metrics(score, weak, strong, resamples=20):
    draws = QueryBootstrap.draw(np.random.default_rng(0), len(score), resamples)
    return strong_call_metrics(np.asarray(score, float), np.asarray(weak, float), np.asarray(strong, float), draws)


def world(n=20_000):
    rng = np.random.default_rng(1)
    strong = (rng.random(n) < 0.8).astype(float)
    weak = (rng.random(n) < 0.4).astype(float)
    return weak, strong, rng


def test_a_coin_recovers_half_of_the_gap():
    weak, strong, rng = world()
    found = metrics(rng.random(len(weak)), weak, strong)
    assert found["apgr"][0] == pytest.approx(0.5, abs=0.02)
    assert found["cpt50"][0] == pytest.approx(0.5, abs=0.03)
    assert found["cpt80"][0] == pytest.approx(0.8, abs=0.03)


def test_a_constant_score_is_worth_no_more_than_a_coin():
    weak, strong, _ = world(1000)
    found = metrics(np.zeros(1000), weak, strong)
    assert found["apgr"][0] == pytest.approx(0.5)
    assert (found["cpt50"][0], found["cpt80"][0]) == pytest.approx((0.5, 0.8))


def test_a_score_that_knows_the_outcome_needs_few_strong_calls():
    # Ten queries, on two of which the strong model alone is right: the first two tenths recover everything.
    strong, weak = np.ones(10), np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    found = metrics(strong - weak + np.linspace(0.01, 0, 10), weak, strong)
    # Trapezoids over shares 0, .1, .2, ..., 1 with PGR 0, .5, 1, 1, ...: .025 + .075 + .8.
    assert found["apgr"][0] == pytest.approx(0.9)
    assert found["cpt50"][0] == pytest.approx(0.1)
    assert found["cpt80"][0] == pytest.approx(0.16)


def test_a_score_that_is_always_wrong_is_worse_than_a_coin():
    weak, strong, _ = world(2000)
    assert metrics(weak - strong, weak, strong)["apgr"][0] < 0.4


def test_nothing_is_recovered_where_the_strong_model_is_not_better():
    found = metrics(np.arange(10.0), np.ones(10), np.zeros(10))
    assert all(np.isnan(values).all() for values in found.values())


def test_every_metric_comes_with_its_resamples():
    weak, strong, rng = world(200)
    assert {name: len(values) for name, values in metrics(rng.random(200), weak, strong).items()} == {
        "apgr": 21,
        "cpt50": 21,
        "cpt80": 21,
    }
