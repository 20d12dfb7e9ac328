import numpy as np
import pytest

from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.predictors.landmarks import LandmarkFeatures
from beast_ml.predictors.teacher_columns import TeacherColumns
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def requests():
    world = make_world(np.random.default_rng(0), 300)
    spec = FeatureSpec.learn(HashingEncoder(), world.outcomes.prompts)
    rows = FeatureBuilder(spec, HashingEncoder()).matrix(world.outcomes.prompts)
    return rows, spec.encoder_dim, world.outcomes.tasks


def test_with_every_request_a_landmark_inner_products_are_the_kernel(requests):
    rows, dim, _ = requests
    columns = LandmarkFeatures.fit(rows, dim, len(rows), np.random.default_rng(1)).transform(rows)
    gram = columns @ columns.T
    np.testing.assert_allclose(np.diag(gram), 1.0, atol=1e-3)
    assert 0.3 < gram[~np.eye(len(gram), dtype=bool)].mean() < 0.9


def test_a_feature_that_never_varied_changes_nothing(requests):
    rows, dim, _ = requests
    fitted = LandmarkFeatures.fit(np.hstack([rows, np.ones((len(rows), 1), np.float32)]), dim, 20, rng())
    usual = np.hstack([rows[:5], np.ones((5, 1), np.float32)])
    odd = np.hstack([rows[:5], np.full((5, 1), 1e6, np.float32)])
    np.testing.assert_array_equal(fitted.transform(odd), fitted.transform(usual))


def test_an_odd_prompt_stays_within_reach(requests):
    rows, dim, _ = requests
    fitted = LandmarkFeatures.fit(rows, dim, 50, rng())
    assert np.isfinite(fitted.transform(rows[:1] + 1e9)).all()


def test_the_kind_of_a_request_is_read_off_it(requests):
    rows, dim, tasks = requests
    columns = TeacherColumns.fit(rows, dim, tasks, rng())
    kinds = columns.transform(rows)[:, -4:]
    assert (np.unique(tasks)[kinds.argmax(axis=1)] == tasks).mean() > 0.9
    np.testing.assert_allclose(kinds.mean(axis=0), 0.0, atol=1e-9)


def test_two_kinds_are_told_apart_too(requests):
    rows, dim, tasks = requests
    two = np.where(tasks == "chat", "chat", "other")
    kinds = TeacherColumns.fit(rows, dim, two, rng()).transform(rows)[:, -2:]
    assert (kinds.argmax(axis=1) == (two == "other")).mean() > 0.9


@pytest.mark.parametrize("name", ["", "one"])
def test_without_kinds_the_kernel_stands_alone(requests, name):
    rows, dim, tasks = requests
    columns = TeacherColumns.fit(rows, dim, np.full(len(tasks), name), rng())
    np.testing.assert_array_equal(columns.transform(rows), columns.landmarks.transform(rows))


def rng():
    return np.random.default_rng(2)
