import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.predictors.shrinkage import group_tasks, task_means


def test_means_are_shrunk_to_the_model_and_the_model_to_the_pool():
    quality = np.array([[1.0, 0.0]] * 20 + [[1.0, np.nan]] * 20)
    tasks = np.array([0] * 20 + [1] * 20)
    means = task_means(quality, tasks, 3)
    grand = 40 / 60
    models = np.array([(40 + 20 * grand) / 60, (0 + 20 * grand) / 40])
    np.testing.assert_allclose(means[0], [(20 + 20 * models[0]) / 40, (0 + 20 * models[1]) / 40])
    np.testing.assert_allclose(means[1], [(20 + 20 * models[0]) / 40, models[1]])
    np.testing.assert_allclose(means[2], models)  # a task without queries


@given(st.integers(0, 1000), st.floats(0, 0.9))
def test_means_stay_within_what_was_seen(seed, hidden):
    rng = np.random.default_rng(seed)
    quality = rng.random((30, 3))
    quality[rng.random((30, 3)) < hidden] = np.nan
    means = task_means(quality, rng.integers(0, 4, 30), 4)
    assert ((means >= 0) & (means <= 1)).all()


def test_rare_tasks_are_put_together():
    tasks = np.array(["maths"] * 12 + ["code"] * 10 + ["rare"] * 9 + ["odd"])
    names, index = group_tasks(tasks)
    assert names == ("code", "maths", "")
    assert index.tolist() == [1] * 12 + [0] * 10 + [2] * 10
    assert group_tasks(np.array([""] * 50 + ["code"] * 10))[0] == ("", "code")
    assert group_tasks(np.array(["rare"]))[0] == ("",)


def test_more_prior_queries_shrink_more():
    quality, tasks = np.array([[1.0, 0.0]] * 10 + [[0.0, 0.0]] * 10), np.array([0] * 10 + [1] * 10)
    little, much = (task_means(quality, tasks, 2, prior)[:, 0] for prior in (2.0, 200.0))
    assert np.ptp(much) < 0.1 < 0.8 < np.ptp(little)
