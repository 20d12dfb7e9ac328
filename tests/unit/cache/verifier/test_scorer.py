import numpy as np
import pytest

from beast_ml.cache.verifier.forest import Forest
from beast_ml.cache.verifier.pairs import FEATURE_NAMES
from beast_ml.cache.verifier.scorer import Scorer
from beast_ml.cache.verifier.training import TrainingConfig, fit_scorer


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, len(FEATURE_NAMES))).astype(np.float32)
    return rows, rows[:, 0] + rows[:, 5] * rows[:, 6] + rng.normal(size=1500) > 0


def test_trees_in_numpy_say_what_lightgbm_says(data):
    lightgbm = pytest.importorskip("lightgbm")
    rows, same = data
    settings = {"objective": "binary", "num_leaves": 8, "verbose": -1, "num_threads": 1, "boost_from_average": False}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, label=same), 40)
    forest = Forest.from_lightgbm([booster.dump_model()])
    np.testing.assert_allclose(forest.raw(rows), booster.predict(rows, raw_score=True), rtol=1e-10, atol=1e-10)


def test_a_row_has_the_same_score_alone_and_among_others(data):
    rows, same = data
    scorer = fit_scorer(rows, same, np.ones(len(rows)), TrainingConfig(n_trees=30))
    together = scorer.score(rows[:700])
    np.testing.assert_allclose(
        [scorer.score(rows[i : i + 1])[0] for i in (0, 3, 699)], together[[0, 3, 699]], rtol=1e-12
    )


def test_a_scorer_is_its_arrays(data):
    rows, same = data
    scorer = fit_scorer(rows, same, np.ones(len(rows)), TrainingConfig(n_trees=30))
    again = Scorer.from_arrays(scorer.arrays())
    np.testing.assert_array_equal(again.raw(rows), scorer.raw(rows))


def test_a_conflict_never_speaks_for_a_hit_in_the_trees(data):
    rows, same = data
    at = FEATURE_NAMES.index("numbers_conflict")
    column = (same | (np.random.default_rng(1).random(len(same)) < 0.3)).astype(np.float32)  # it seems to speak for it
    rows = rows.copy()
    rows[:, at] = column
    forest = fit_scorer(rows, same, np.ones(len(rows)), TrainingConfig(n_trees=30)).forest
    without, with_conflict = rows.copy(), rows.copy()
    without[:, at], with_conflict[:, at] = 0.0, 1.0
    assert (forest.raw(with_conflict) <= forest.raw(without) + 1e-12).all()
