import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.predictors.kind_shrinkage import kind_task_means, kinds_of_tasks, name_rare_tasks_by_kind
from beast_ml.predictors.shrinkage import task_means


def world(rng, per_task=6, n_tasks=40, hidden=0.0):
    """Tasks of two kinds: levels differ by kind and task, the better model is better by .2 everywhere."""
    kinds = np.arange(n_tasks) % 2
    level = np.where(kinds == 0, 0.3, 0.6) + rng.normal(0, 0.04, n_tasks)
    truth = np.stack([level, level + 0.2], axis=1)
    tasks = np.repeat(np.arange(n_tasks), per_task)
    values = (rng.random((len(tasks), 2)) < truth[tasks]).astype(float)
    values[rng.random(values.shape) < hidden] = np.nan
    return values, tasks, kinds, truth


@pytest.mark.parametrize("hidden", [0.0, 0.5])
def test_little_data_tell_more_with_levels_and_more_still_with_kinds(hidden):
    errors = np.zeros((30, 3))
    for seed in range(30):
        values, tasks, kinds, truth = world(np.random.default_rng(seed), hidden=hidden)
        guesses = (
            task_means(values, tasks, 40),
            kind_task_means(values, tasks, 40),
            kind_task_means(values, tasks, 40, kinds),
        )
        errors[seed] = [np.mean((guess - truth) ** 2) for guess in guesses]
    plain, level, kind = errors.mean(axis=0)
    assert kind < 0.6 * level
    assert level < 0.95 * plain


def test_levels_and_kinds_leave_what_models_differ_by_alone():
    values, tasks, kinds, _ = world(np.random.default_rng(0))
    difference = np.diff(kind_task_means(values, tasks, 40, kinds), axis=1)[:, 0]
    plain = task_means(values, tasks, 40)
    np.testing.assert_allclose(difference, np.diff(plain, axis=1)[:, 0], atol=0.02)


def test_a_task_without_queries_has_the_level_of_its_kind():
    values, tasks, kinds, _ = world(np.random.default_rng(1), per_task=30)
    means = kind_task_means(values, tasks, 43, np.array([*kinds, 0, 1, -1]))
    hard, easy, unknown = means[40].mean(), means[41].mean(), means[42].mean()
    assert hard == pytest.approx(0.4, abs=0.06)
    assert easy == pytest.approx(0.7, abs=0.06)
    assert unknown == pytest.approx(np.mean(values), abs=0.03)


def test_much_data_speak_for_themselves():
    values, tasks, kinds, truth = world(np.random.default_rng(2), per_task=5000, n_tasks=4)
    np.testing.assert_allclose(kind_task_means(values, tasks, 4, kinds), truth, atol=0.03)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_means_stay_within_what_was_seen(seed, hidden):
    rng = np.random.default_rng(seed)
    values = rng.random((30, 3)) ** 8
    values[rng.random((30, 3)) < hidden] = np.nan
    means = kind_task_means(values, rng.integers(0, 4, 30), 4, rng.integers(-1, 2, 4))
    assert ((means >= 0) & (means <= 1)).all()


def test_a_task_is_of_the_kind_most_of_its_queries_have():
    tasks = np.array([0, 0, 0, 1, 1, 2])
    kinds = np.array(["maths", "maths", "code", "", "code", ""])
    assert kinds_of_tasks(tasks, 4, kinds).tolist() == [1, 0, -1, -1]
    assert kinds_of_tasks(tasks, 3, np.full(6, "")).tolist() == [-1, -1, -1]
    assert kinds_of_tasks(tasks, 3, np.full(6, "law")).tolist() == [0, 0, 0]


def test_only_rare_tasks_of_a_known_kind_go_by_it():
    tasks = np.array(["often"] * 10 + ["rare"] * 9 + ["odd"])
    kinds = np.array(["law"] * 19 + [""])
    assert name_rare_tasks_by_kind(tasks, kinds).tolist() == ["often"] * 10 + ["kind:law"] * 9 + ["odd"]
