import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard

QUALITY = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
COST = np.array([[1.0, 10.0], [1.0, 10.0], [2.0, 10.0], [2.0, 10.0]])
CHEAP, DEAR = 0, 1


def board(quality=QUALITY, cost=COST, reference=DEAR, willingness=np.inf, resamples=30):
    draws = QueryBootstrap.draw(np.random.default_rng(0), len(quality), resamples)
    return Scoreboard(np.asarray(quality, float), np.asarray(cost, float), reference, willingness, draws)


def values(metrics):
    return {name: array[0] for name, array in metrics.items()}


def test_what_one_set_of_choices_is_worth():
    found = values(board().point_metrics(np.array([CHEAP, DEAR, CHEAP, DEAR], dtype=np.int16)))
    assert found["quality"] == 0.5
    assert found["cost"] == pytest.approx(23 / 4)
    assert found["quality_gain"] == 0.0  # the dear model is right on two of four as well
    assert found["saving"] == pytest.approx(1 - 23 / 40)
    assert found["regret"] == 0.25  # the last query: the cheap model would have been right
    assert found["right_of_answerable"] == pytest.approx(2 / 3)  # nobody is right on the third query
    assert found["optimal_selection"] == pytest.approx(2 / 3)


def test_right_but_dearer_than_another_right_answer_is_not_the_optimal_selection():
    found = values(board().point_metrics(np.full(4, DEAR, dtype=np.int16)))
    assert found["right_of_answerable"] == pytest.approx(2 / 3)
    assert found["optimal_selection"] == pytest.approx(1 / 3)


def test_equally_cheap_right_answers_are_all_optimal():
    tie = board(np.ones((2, 2)), np.ones((2, 2)))
    for model in (CHEAP, DEAR):
        assert values(tie.point_metrics(np.full(2, model, dtype=np.int16)))["optimal_selection"] == 1.0


def test_regret_charges_for_cost_at_the_willingness_to_pay():
    found = values(board(willingness=10.0).point_metrics(np.full(4, DEAR, dtype=np.int16)))
    # Utilities q - c/10: best is .9, 0, -.2, .8; the dear model gives 0, 0, -1, -1.
    assert found["regret"] == pytest.approx((0.9 + 0 + 0.8 + 1.8) / 4)


def test_a_router_that_is_the_reference_gains_and_saves_exactly_nothing_in_every_resample():
    metrics = board(np.random.default_rng(0).random((50, 2)), np.random.default_rng(1).random((50, 2))).point_metrics(
        np.full(50, DEAR, dtype=np.int16)
    )
    assert (metrics["quality_gain"] == 0).all()
    assert (metrics["saving"] == 0).all()


def test_a_hand_computed_curve():
    some = board()
    # All cheap: cost 1.5, quality .5 (the anchor). All dear: cost 10, quality .5. The best: 3.75, .75.
    best = np.array([CHEAP, DEAR, CHEAP, CHEAP], dtype=np.int16)
    points = some.points(np.stack([np.zeros(4, dtype=np.int16), best, np.ones(4, dtype=np.int16)]))
    assert points.cost[0] == pytest.approx([1.5, 3.75, 10.0])
    assert points.quality[0] == pytest.approx([0.5, 0.75, 0.5])
    found = values(some.curve_metrics(points))
    area = 0.625 * 2.25 + 0.75 * 6.25
    assert found["aiq"] == pytest.approx(area / 8.5)
    assert found["aiq_over_dearest_cost"] == pytest.approx(area / 10)
    assert found["share_of_gap"] == pytest.approx(1.0)  # the oracle can do no more
    assert found["saving_at_equal_quality"] == pytest.approx(0.85)  # the cheap model is as good as the dear one
    assert found["best_quality"] == 0.5
    assert some.zero_aiq[0] == 0.5


def test_a_quality_that_a_curve_does_not_reach_saves_nothing():
    better = board(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 5.0], [1.0, 5.0]]))
    cheap = better.curve_metrics(better.points(np.zeros((1, 2), dtype=np.int16)))
    assert cheap["saving_at_equal_quality"][0] == 0.0


def test_without_costs_the_last_point_is_what_counts():
    free = board(cost=np.zeros((4, 2)))
    choices = np.array([[CHEAP, CHEAP, CHEAP, DEAR], [CHEAP, DEAR, CHEAP, CHEAP]], dtype=np.int16)
    found = values(free.curve_metrics(free.points(choices)))
    assert found["aiq"] == 0.75
    assert found["share_of_gap"] == 1.0  # best single .5, oracle .75
    assert np.isnan(found["aiq_over_dearest_cost"])
    assert np.isnan(found["saving_at_equal_quality"])
    assert np.isnan(values(free.point_metrics(choices[0]))["saving"])


def test_where_no_model_is_ever_right_selection_is_not_defined():
    none_right = board(np.zeros((3, 2)), np.ones((3, 2)))
    assert np.isnan(none_right.point_metrics(np.zeros(3, dtype=np.int16))["optimal_selection"]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 40), st.integers(2, 5), st.integers(0, 10_000))
def test_no_router_beats_the_oracle_and_mixing_single_models_is_the_zero(n, m, seed):
    rng = np.random.default_rng(seed)
    some = board(rng.random((n, m)), rng.random((n, m)) + 0.1, reference=0, resamples=5)
    choices = rng.integers(m, size=(8, n)).astype(np.int16)
    assert (some.aiq(some.points(choices)) <= some.oracle_aiq + 0.01).all()
    assert (some.zero_aiq <= some.oracle_aiq + 0.01).all()
    singles = np.arange(m, dtype=np.int16)[:, None].repeat(n, axis=1)
    assert some.aiq(some.points(singles)) == pytest.approx(some.zero_aiq)
