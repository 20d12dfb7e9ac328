import sys

import numpy as np
import pytest

from beast_ml.errors import MissingExtraError
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.network import NetworkConfig, fit_network

TINY = NetworkConfig(hidden=(16,), dropout=0.1, epochs=8, learning_rate=1e-2)


@pytest.fixture(scope="module")
def data():
    """Two outputs that depend on the first two of six features."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 6)).astype(np.float32)
    targets = (sigmoid(3 * rows[:, :2]) > rng.random((400, 2))).astype(float)
    return rows, targets, np.arange(400) % 4


def fit(data, loss="probability", seed=0, **arguments):
    rows, targets, folds = data
    return fit_network(rows, targets, folds, loss=loss, config=TINY, rng=np.random.default_rng(seed), **arguments)


def same(first, second):
    return all(np.array_equal(first.head.arrays()[name], second.head.arrays()[name]) for name in first.head.arrays())


def test_equal_seeds_give_equal_weights_and_others_do_not(data):
    assert same(fit(data), fit(data))
    assert not same(fit(data), fit(data, seed=1))


@pytest.mark.parametrize("loss", ["probability", "squared"])
@pytest.mark.parametrize("fold", [0, 3])
def test_nothing_of_a_held_out_fold_reaches_the_predictions_for_it(data, loss, fold):
    rows, targets, folds = data
    poisoned = np.where((folds == fold)[:, None], 1 - targets, targets)
    honest, after = fit(data, loss), fit((rows, poisoned, folds), loss)
    np.testing.assert_array_equal(honest.out_of_fold[folds == fold], after.out_of_fold[folds == fold])
    assert not np.array_equal(honest.out_of_fold[folds != fold], after.out_of_fold[folds != fold])
    assert not same(honest, after)


def test_cells_that_were_not_observed_have_no_influence(data):
    rows, targets, folds = data
    hidden = np.random.default_rng(1).random(targets.shape) < 0.3
    masked = np.where(hidden, np.nan, targets)
    alone = fit((rows, masked[:, :1], folds), "squared")
    assert np.isfinite(alone.out_of_fold).all()
    correlation = np.corrcoef(fit((rows, masked, folds)).out_of_fold[:, 0], rows[:, 0])[0, 1]
    assert correlation > 0.7


def test_an_output_without_observations_stays_at_the_mean_of_the_others(data):
    rows, targets, folds = data
    fitted = fit((rows, np.hstack([targets, np.full((400, 1), np.nan)]), folds))
    assert np.abs(sigmoid(fitted.out_of_fold[:, 2]) - targets.mean()).max() < 0.15


def test_the_task_head_learns_to_tell_tasks(data):
    rows = data[0]
    tasks = (rows[:, 2] > 0).astype(np.intp)
    fitted = fit(data, tasks=tasks)
    assert fitted.out_of_fold.shape == (400, 4)
    assert (fitted.out_of_fold[:, 2:].argmax(axis=1) == tasks).mean() > 0.8


def test_one_task_adds_an_output_but_no_loss(data):
    with_one = fit(data, tasks=np.zeros(400, np.intp))
    assert with_one.out_of_fold.shape == (400, 3)


def test_no_hidden_layer_is_a_linear_model(data):
    rows, targets, folds = data
    config = NetworkConfig(hidden=(), dropout=0.0, epochs=20, learning_rate=3e-2)
    linear = fit_network(rows, targets, folds, loss="squared", config=config, rng=np.random.default_rng(0))
    assert len(linear.head.weights) == 1
    clipped = np.clip(rows, -1, 1)  # within the clip, a sum of inputs is a sum of outputs
    middle = linear.head.forward(clipped[:1] / 2 + clipped[1:2] / 2)
    np.testing.assert_allclose(middle, linear.head.forward(clipped[:2]).mean(axis=0, keepdims=True), atol=1e-5)


def test_losses_fall_and_progress_is_told(data):
    steps = []
    fitted = fit(data, progress=lambda *step: steps.append(step), label="quality")
    assert len(fitted.learning_curve) == TINY.epochs
    assert fitted.learning_curve[-1][1] < fitted.learning_curve[0][1]
    assert steps[-1] == ("quality", 2 * TINY.epochs, 2 * TINY.epochs)  # two batches an epoch
    assert len(steps) == TINY.epochs


def test_without_torch_the_extra_is_named(monkeypatch, data):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match='training needs the "train" extra'):
        fit(data)
