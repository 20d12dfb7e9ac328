import numpy as np
import pytest

from beast_ml.policy.baselines import (
    TaskMeans,
    cross_fit_task_means,
    model_means,
    predict_tasks,
    random_mix,
    weak_and_strong,
)

MODELS = ("cheap", "dear")
TASKS = np.array(["code", "code", "maths", "maths"])
QUALITY = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [np.nan, 1.0]])
COST = np.array([[1.0, 4.0], [1.0, 6.0], [2.0, 8.0], [2.0, np.nan]])


def test_task_means_skip_what_was_not_observed():
    means = TaskMeans.fit(MODELS, TASKS, QUALITY, COST).predict(np.array(["maths", "code"]))
    assert means.quality.tolist() == [[0.0, 1.0], [1.0, 0.5]]
    assert means.cost.tolist() == [[2.0, 8.0], [1.0, 5.0]]


@pytest.mark.parametrize("task", ["law", "", "zoology", "aardvarks"])
def test_an_unknown_task_gets_the_overall_means(task):
    means = TaskMeans.fit(MODELS, TASKS, QUALITY, COST).predict(np.array([task]))
    assert means.quality[0] == pytest.approx([2 / 3, 3 / 4])
    assert means.cost[0] == pytest.approx([1.5, 6.0])


def test_a_model_never_seen_on_a_task_gets_its_overall_mean_there():
    quality = np.array([[1.0, 0.0], [1.0, 1.0], [np.nan, 1.0], [np.nan, 1.0]])
    means = TaskMeans.fit(MODELS, TASKS, quality, COST).predict(np.array(["maths"]))
    assert means.quality[0, 0] == 1.0


def test_cross_fitted_means_never_see_the_query_itself():
    folds = np.array([0, 1, 0, 1])
    before = cross_fit_task_means(MODELS, TASKS, QUALITY, COST, folds)
    changed = QUALITY.copy()
    changed[0] = [0.5, 0.9]
    after = cross_fit_task_means(MODELS, TASKS, changed, COST, folds)
    assert (before.quality[0] == after.quality[0]).all()
    assert (before.quality[1] != after.quality[1]).all()


def test_a_model_never_observed_has_mean_zero():
    assert model_means(np.array([[np.nan, 1.0], [np.nan, 3.0]])).tolist() == [0.0, 2.0]


def test_the_weak_model_is_the_cheapest_and_the_strong_one_the_best():
    assert weak_and_strong(QUALITY, COST) == (0, 1)


def test_without_costs_the_weak_model_is_the_worst():
    assert weak_and_strong(np.array([[0.9, 0.1, 0.5]]), np.zeros((1, 3))) == (1, 0)


def test_a_random_mix_sends_the_asked_for_share_to_the_strong_model_and_is_nested():
    shares = np.array([0.0, 0.25, 0.75, 1.0])
    choices = random_mix(3, 7, shares, 20_000, np.random.default_rng(0))
    assert (choices == 7).mean(axis=1) == pytest.approx(shares, abs=0.02)
    assert ((choices == 7)[:-1] <= (choices == 7)[1:]).all()
    assert set(choices[0]) == {3}
    assert set(choices[-1]) == {7}


def test_tasks_are_guessed_from_embeddings():
    rng = np.random.default_rng(0)
    centres = np.eye(3, dtype=np.float32)
    tasks = rng.integers(3, size=300)
    vectors = (centres[tasks] + 0.2 * rng.standard_normal((300, 3))).astype(np.float32)
    names = np.array(["code", "law", "maths"])
    assert predict_tasks(vectors, names[tasks], centres).tolist() == names.tolist()


def test_one_task_leaves_nothing_to_guess():
    guessed = predict_tasks(np.zeros((2, 3), np.float32), np.array(["law", "law"]), np.zeros((4, 3), np.float32))
    assert guessed.tolist() == ["law"] * 4
