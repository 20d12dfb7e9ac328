import numpy as np
import pytest

from beast_ml.evaluation import bootstrap
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap


def test_the_first_row_is_the_data_and_the_others_their_resamples():
    values = np.arange(12.0).reshape(6, 2)
    draws = QueryBootstrap(np.array([[0, 0, 0, 0, 0, 0], [5, 5, 5, 0, 0, 0]], dtype=np.int32))
    assert draws.means(values) == pytest.approx(np.array([[5.0, 6.0], [0.0, 1.0], [5.0, 6.0]]))


def test_weights_of_a_resample_sum_to_one():
    draws = QueryBootstrap.draw(np.random.default_rng(0), 50, 20)
    assert draws.weights(0, 20).sum(axis=1) == pytest.approx(np.ones(20))
    assert draws.weights(5, 7).shape == (2, 50)
    assert draws.first(3).draws.shape == (3, 50)


def test_equal_columns_have_equal_resamples():
    values = np.random.default_rng(0).random((200, 1))
    means = QueryBootstrap.draw(np.random.default_rng(1), 200, 100).means(np.hstack([values, values]))
    assert np.ptp(means, axis=1) == pytest.approx(np.zeros(101), abs=1e-15)


def test_weights_that_are_too_many_to_keep_give_the_same_means(monkeypatch):
    values = np.random.default_rng(0).random((40, 3))
    kept = QueryBootstrap.draw(np.random.default_rng(1), 40, 300)
    monkeypatch.setattr(bootstrap, "_KEEP_UP_TO", 0)
    recounted = QueryBootstrap.draw(np.random.default_rng(1), 40, 300)
    assert kept._kept is None or len(kept._kept) == 300
    assert recounted.means(values) == pytest.approx(kept.means(values))


def test_the_interval_holds_the_middle_95_percent_of_the_resamples():
    estimate = Estimate.of(np.concatenate([[0.5], np.arange(1001.0) / 1000]))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.025, 0.975))


def test_resamples_without_a_value_are_left_out_of_the_interval():
    assert Estimate.of(np.array([0.5, 0.4, np.nan, 0.4])) == Estimate(0.5, 0.4, 0.4)


def test_what_the_data_do_not_define_is_none():
    assert Estimate.of(np.array([np.nan, 0.4])) == Estimate(None)
    assert Estimate.of(np.array([0.3])) == Estimate(0.3)
    assert Estimate(0.3).to_dict() == {"value": 0.3, "low": None, "high": None}


def test_queries_of_a_question_come_and_go_together():
    questions = np.repeat(np.arange(20), 3)[np.random.default_rng(2).permutation(60)]
    draws = QueryBootstrap.draw_by_question(np.random.default_rng(0), questions, 50).draws
    assert draws.shape == (50, 60)
    for draw in draws:
        counts = np.bincount(draw, minlength=60)
        assert all(len(set(counts[questions == question])) == 1 for question in range(20))


def test_intervals_over_questions_are_as_wide_as_their_number_asks_for():
    values = np.repeat(np.random.default_rng(3).normal(size=200), 4)[:, None]
    questions = np.repeat(np.arange(200), 4)
    by_question = QueryBootstrap.draw_by_question(np.random.default_rng(0), questions, 800).means(values)[1:].std()
    assert by_question == pytest.approx(values.std() / np.sqrt(200), rel=0.1)
    apart = QueryBootstrap.draw_by_question(np.random.default_rng(0), np.arange(800), 800)
    assert (apart.draws == QueryBootstrap.draw(np.random.default_rng(0), 800, 800).draws).all()
