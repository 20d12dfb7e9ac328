import numpy as np
import pytest

from beast_ml.predictors.log_teacher import teach


@pytest.fixture(scope="module")
def lesson():
    rng = np.random.default_rng(0)
    n = 2000
    columns = rng.standard_normal((n, 2))
    quality = np.clip(0.5 + 0.12 * columns[:, :1] * [1.0, -1.0], 0.05, 0.95)
    cost = np.exp(columns[:, 1:] + [0.0, 2.0] - 5.0)
    chosen = (rng.random(n) < 0.1).astype(int)
    shown = np.arange(2) == chosen[:, None]
    realised = (rng.random((n, 2)) < quality).astype(float)
    return {
        "columns": columns,
        "quality": quality,
        "cost": cost,
        "args": (
            columns,
            np.where(shown, realised, np.nan),
            np.where(shown, cost, np.nan),
            chosen,
            np.where(chosen == 1, 0.1, 0.9),
            np.arange(n) % 5,
        ),
    }


def test_quality_and_cost_of_both_models_are_learnt_from_one_of_them_a_request(lesson):
    teacher = teach(*lesson["args"])
    for predicted in (teacher.quality.predict(lesson["columns"]), teacher.out_of_fold):
        assert np.abs(predicted - lesson["quality"]).mean() < 0.1
    for predicted in (teacher.cost.predict(lesson["columns"]), teacher.cost.out_of_fold):
        assert np.median(np.abs(np.log(predicted / lesson["cost"]))) < 0.1


def test_the_bound_is_lower_where_less_was_seen(lesson):
    teacher = teach(*lesson["args"])
    columns = lesson["columns"]
    taken = teacher.quality.predict(columns) - teacher.lower(columns)
    assert (taken[:, 1] > 1.5 * taken[:, 0]).mean() > 0.9
    taken_out_of_fold = teacher.out_of_fold - teacher.lower_out_of_fold
    assert (taken_out_of_fold > taken).mean() > 0.99  # they know a fifth less


def test_lower_bounds_are_seldom_above_the_truth(lesson):
    teacher = teach(*lesson["args"])
    assert (teacher.lower_out_of_fold > lesson["quality"]).mean() < 0.15


def test_without_costs_quality_is_learnt_alone(lesson):
    columns, quality, _, *rest = lesson["args"]
    assert teach(columns, quality, None, *rest).cost is None


def test_the_cost_of_a_model_that_never_answered_is_taken_for_a_usual_one(lesson):
    columns, quality, cost, *rest = lesson["args"]
    only = np.where(np.arange(2) == 0, cost, np.nan)
    predicted = teach(columns, quality, only, *rest).cost.predict(columns)
    assert np.median(predicted[:, 1] / predicted[:, 0]) == pytest.approx(1.0, abs=0.2)
