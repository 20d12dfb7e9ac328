import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.policy.operating_point import (
    MARGIN_Z,
    QUALITY_MARGIN,
    OperatingPoint,
    best_single_model,
    choose_operating_point,
)
from beast_ml.policy.utility import Predictions, choose


def two_models(n=400, seed=0, noise=0.0):
    """Half the questions are easy: the cheap model is right on those alone, the dear one on all."""
    rng = np.random.default_rng(seed)
    easy = np.arange(n) % 2 == 0
    quality = np.column_stack([easy, np.ones(n)]).astype(float)
    cost = np.tile([1.0, 10.0], (n, 1))
    believed = np.clip(quality * 0.8 + 0.1 + noise * rng.standard_normal((n, 2)), 0, 1)
    return Predictions(("cheap", "dear"), believed, cost), quality, cost


def test_a_router_that_knows_the_easy_questions_saves_at_no_loss():
    point = choose_operating_point(*two_models())
    assert point.kind == "router"
    assert point.model == "dear"
    assert point.quality == 1.0
    assert point.cost == pytest.approx(5.5)
    assert point.best_single_cost == 10.0
    assert point.n_queries == 400


def test_a_router_that_knows_nothing_gives_way_to_the_best_single_model():
    rng = np.random.default_rng(0)
    quality = (rng.random((500, 2)) < [0.5, 0.6]).astype(float)
    cost = np.tile([1.0, 10.0], (500, 1))
    noise = Predictions(("cheap", "dear"), rng.random((500, 2)) * [1.0, 0.5], cost)
    point = choose_operating_point(noise, quality, cost)
    assert (point.kind, point.model, point.willingness_to_pay) == ("single", "dear", None)
    assert point.quality_gain == 0.0


def test_the_margin_is_one_sided_and_paired():
    predictions, quality, cost = two_models(noise=0.15)
    point = choose_operating_point(predictions, quality, cost)
    assert point.willingness_to_pay is not None
    chosen = choose(predictions, point.willingness_to_pay)
    gain = quality[np.arange(400), chosen] - quality[:, 1]
    margin = MARGIN_Z * gain.std(ddof=1) / 20
    assert point.quality_gain == pytest.approx(gain.mean())
    assert point.gain_margin == pytest.approx(margin)
    assert gain.mean() >= 0
    assert gain.mean() - margin >= -QUALITY_MARGIN


@pytest.mark.parametrize("n_easy", [620, 900, 1040])
def test_nearly_all_of_what_can_be_saved_at_no_loss_is_saved(n_easy):
    n = 2000
    gain = (np.arange(n) + 0.5) / n  # of the dear model, as believed: the order is right, and nothing else
    quality = np.column_stack([np.arange(n) < n_easy, np.ones(n)]).astype(float)
    cost = np.tile([0.0, 1.0], (n, 1))
    point = choose_operating_point(
        Predictions(("cheap", "dear"), np.column_stack([1 - gain, np.ones(n)]), cost), quality, cost
    )
    assert point.quality == 1.0
    assert point.cost == pytest.approx(1 - n_easy / n, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.5))
def test_the_point_never_falls_below_the_best_single_model_on_its_own_evidence(seed, noise):
    point = choose_operating_point(*two_models(100, seed, noise))
    assert point.quality >= point.best_single_quality
    assert point.quality_gain - point.gain_margin >= -QUALITY_MARGIN
    assert point.cost <= point.best_single_cost
    assert point.kind == "single" or np.isfinite(point.willingness_to_pay)


def test_queries_with_a_missing_outcome_are_no_evidence():
    predictions, quality, cost = two_models()
    quality[:100, 0] = np.nan
    cost[100:150, 1] = np.nan
    assert choose_operating_point(predictions, quality, cost).n_queries == 250


def test_without_complete_queries_the_best_single_model_answers():
    predictions, quality, cost = two_models(100)
    quality[::2, 0] = np.nan
    quality[1::2, 1] = np.nan
    point = choose_operating_point(predictions, quality, cost)
    assert point == OperatingPoint("single", "dear", n_queries=0)


def test_without_costs_the_best_predicted_quality_decides():
    predictions, quality, _ = two_models()
    flipped = quality.copy()
    flipped[::4, 1] = 0.0  # now the dear model fails on half of the easy questions
    free = Predictions(predictions.models, np.clip(flipped, 0.1, 0.9), np.zeros_like(flipped))
    point = choose_operating_point(free, flipped, np.zeros_like(flipped))
    assert point.kind == "router"
    assert point.quality == 1.0


def test_the_point_survives_json():
    point = choose_operating_point(*two_models())
    assert msgspec.json.decode(msgspec.json.encode(point), type=OperatingPoint) == point


@pytest.mark.parametrize(
    ("quality", "cost", "best"),
    [
        ([[0.2, 0.9], [0.4, 0.5]], [[1, 1], [1, 1]], 1),
        ([[0.5, 0.5]], [[2, 1]], 1),
        ([[0.5, 0.5]], [[1, 1]], 0),
        ([[0.1, 0.2], [1.0, np.nan]], [[1, 1], [1, 1]], 1),  # judged on the first query alone
        ([[0.9, np.nan], [np.nan, 0.3]], [[1, 1], [1, 1]], 0),
        ([[np.nan, 0.1]], [[1, 1]], 1),
    ],
)
def test_the_best_single_model(quality, cost, best):
    assert best_single_model(np.array(quality, dtype=float), np.array(cost, dtype=float)) == best
