import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.policy.neighbours import NeighbourRouter, tune_neighbours
from beast_ml.policy.utility import Predictions
from beast_ml.predictors.nearest import metrics_of, nearest, nearest_across_folds

MODELS = ("cheap", "dear")


def clusters(n=400, seed=0, scale=0.05):
    """Prompts of two kinds: the cheap model is right on one, the dear one on both."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 2
    vectors = np.eye(2, dtype=np.float32)[kind] + scale * rng.standard_normal((n, 2)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quality = np.column_stack([kind == 0, np.ones(n)]).astype(float)
    cost = np.column_stack([np.ones(n), np.where(kind == 0, 5.0, 10.0)])
    return vectors, quality, cost, rng.integers(5, size=n), kind


def test_neighbours_find_what_each_kind_of_prompt_needs():
    vectors, quality, cost, folds, kind = clusters()
    router = tune_neighbours(MODELS, vectors, quality, cost, folds)
    predictions = router.predict(np.eye(2, dtype=np.float32))
    assert predictions.quality == pytest.approx(np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert predictions.cost == pytest.approx(np.array([[1.0, 5.0], [1.0, 10.0]]))
    assert (router.out_of_fold.quality.argmax(axis=1) == kind).mean() > 0.99


def test_predictions_are_means_over_the_observed_neighbours_alone():
    vectors = np.array([[1, 0], [1, 0.01], [0, 1]], dtype=np.float32)
    quality = np.array([[1.0, np.nan], [0.0, np.nan], [0.5, 0.9]])
    cost = np.array([[1.0, np.nan], [3.0, np.nan], [9.0, 7.0]])
    empty = Predictions(MODELS, quality, cost)
    router = NeighbourRouter(MODELS, vectors, quality, cost, 2, "cosine", empty)
    predictions = router.predict(np.array([[1.0, 0.0]], dtype=np.float32))
    assert predictions.quality.tolist() == [[0.5, 0.9]]  # nobody near saw the second model: its overall mean
    assert predictions.cost.tolist() == [[2.0, 7.0]]


def test_out_of_fold_neighbours_are_of_other_folds():
    vectors, _, _, folds, _ = clusters(60)
    found = nearest_across_folds(vectors, folds, 10, "cosine")
    assert found.shape == (60, 10)
    assert not (folds[found] == folds[:, None]).any()


def test_centring_helps_where_all_vectors_point_the_same_way():
    rng = np.random.default_rng(1)
    kind = rng.integers(2, size=300)
    vectors = np.column_stack([np.full(300, 30.0), kind * 1.0, 0.3 * rng.standard_normal(300)]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quality = np.column_stack([kind == 0, np.ones(300)]).astype(float)
    router = tune_neighbours(MODELS, vectors, quality, np.ones((300, 2)) * [1.0, 3.0], rng.integers(5, size=300))
    assert router.out_of_fold.quality[kind == 1, 0].mean() < 0.3


@pytest.mark.parametrize(("scale", "metrics"), [(1.0, 2), (3.0, 3)])
def test_euclidean_distance_is_tried_where_it_differs_from_the_cosine(scale, metrics):
    assert len(metrics_of(np.eye(3, dtype=np.float32) * scale)) == metrics


def test_euclidean_neighbours_are_the_near_ones():
    vectors = np.array([[1, 0], [10, 0], [0, 2]], dtype=np.float32)
    found = nearest(vectors, np.array([[9.0, 1.0]], dtype=np.float32), 1, "euclidean")
    assert found.tolist() == [[1]]


def test_k_never_exceeds_what_the_other_folds_hold():
    vectors, quality, cost, _, _ = clusters(8)
    router = tune_neighbours(MODELS, vectors, quality, cost, np.array([0, 0, 0, 0, 0, 1, 1, 1]))
    assert router.k <= 3


def test_without_costs_the_best_predicted_quality_is_what_is_tuned():
    vectors, quality, cost, folds, _ = clusters(scale=0.4)
    router = tune_neighbours(MODELS, vectors, quality, np.zeros_like(cost), folds)
    assert (router.out_of_fold.cost == 0).all()


def test_prompts_that_no_two_models_answered_are_enough():
    vectors, quality, cost, folds, _ = clusters()
    quality[::2, 0], quality[1::2, 1] = np.nan, np.nan
    router = tune_neighbours(MODELS, vectors, quality, cost, folds)
    assert np.isfinite(router.out_of_fold.quality).all()


def test_one_fold_is_too_few():
    vectors, quality, cost, _, _ = clusters(10)
    with pytest.raises(NotEnoughDataError, match="10 training queries fall into one fold"):
        tune_neighbours(MODELS, vectors, quality, cost, np.zeros(10, dtype=int))
