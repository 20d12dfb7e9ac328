import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from beast_ml.predictors.contract import LoggedQuality, TrainingSet
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.quality import QualityPredictor, fit_quality
from beast_ml.testing.worlds import make_world, thin_out

SMALL = FamiliesConfig(
    ("task_means", "network", "kernel"),
    NetworkConfig(hidden=(32,), epochs=12, learning_rate=5e-3),
    student=NetworkConfig(hidden=(64,), dropout=0.0, epochs=8, learning_rate=5e-3, task_weight=0.0),
)


def fit(data, seed=0):
    return fit_quality(data, np.random.default_rng(seed), SMALL)


def with_outcomes(data, **changes):
    return dataclasses.replace(data, outcomes=dataclasses.replace(data.outcomes, **changes))


@pytest.fixture(scope="module")
def data(world, training_set):
    return training_set(world)


@pytest.fixture(scope="module")
def quality(data):
    return fit(data)


def test_it_beats_the_models_means_where_prompts_tell_something(world, data, quality, training_set):
    assert quality.report["brier_out_of_fold"] < 0.9 * quality.report["brier_of_model_means"]
    fresh = make_world(np.random.default_rng(99), 500, prefix="f")
    rows = training_set(fresh).rows
    error = np.abs(quality.predictor.predict(rows) - fresh.quality).mean()
    assert error < 0.7 * np.abs(world.outcomes.quality.mean(axis=0) - fresh.quality).mean()


def test_random_labels_cannot_be_predicted_out_of_fold(data):
    labels = (np.random.default_rng(0).random(data.outcomes.quality.shape) < 0.5).astype(float)
    fitted = fit(with_outcomes(data, quality=labels))
    for column, truth in zip(fitted.out_of_fold.T, labels.T, strict=True):
        assert abs(roc_auc_score(truth, column) - 0.5) < 0.1
    assert fitted.report["brier_out_of_fold"] > 0.24


def test_predictions_are_probabilities_inside_their_intervals(data, quality):
    predicted = quality.predictor.predict(data.rows)
    low, high = quality.predictor.interval(data.rows)
    assert predicted.shape == data.outcomes.quality.shape
    assert ((low >= 0) & (low <= predicted) & (predicted <= high) & (high <= 1)).all()


def test_what_is_stored_restores_it_to_the_bit(data, quality):
    predictor = quality.predictor
    again = QualityPredictor.restore(predictor.models, predictor.arrays(), predictor.calibration())
    assert again.predict(data.rows).tobytes() == predictor.predict(data.rows).tobytes()
    for one, other in zip(again.interval(data.rows), predictor.interval(data.rows), strict=True):
        assert one.tobytes() == other.tobytes()


def test_equal_seeds_give_equal_predictions(data, quality):
    assert fit(data).predictor.predict(data.rows).tobytes() == quality.predictor.predict(data.rows).tobytes()


def test_a_log_with_one_outcome_a_query_can_be_learnt_from(world, data):
    thin = thin_out(world.outcomes, np.random.default_rng(0), 2 / 3)
    fitted = fit(TrainingSet(data.rows, thin, data.folds))
    assert np.isfinite(fitted.out_of_fold).all()
    assert fitted.report["brier_out_of_fold"] < fitted.report["brier_of_model_means"]


def test_with_a_log_behind_them_smooth_targets_do_not_flatter_what_is_learnt(world, data):
    """A teacher that is sure of what is not so: answers are right half as often as it says."""
    rng = np.random.default_rng(3)
    shape = data.outcomes.quality.shape
    taught = np.where(world.quality > np.median(world.quality), 0.9, 0.1)
    shown = np.arange(shape[1]) == rng.integers(shape[1], size=shape[0])[:, None]
    outcomes = np.where(shown, (rng.random(shape) < 0.5 * taught).astype(float), np.nan)
    smooth = with_outcomes(data, quality=taught)
    flattered = fit(smooth)
    fitted = fit(dataclasses.replace(smooth, logged=LoggedQuality(outcomes, taught)))
    assert flattered.predictor.predict(data.rows).mean() == pytest.approx(taught.mean(), abs=0.03)
    assert fitted.predictor.predict(data.rows).mean() == pytest.approx(0.5 * taught.mean(), abs=0.06)
    assert fitted.report["brier_out_of_fold"] == np.nanmean((fitted.out_of_fold - outcomes) ** 2)
    assert fitted.report["brier_out_of_fold"] > flattered.report["brier_out_of_fold"]
    assert "brier_of_model_means" not in fitted.report


@pytest.mark.parametrize("task", ["", "the only one"])
def test_one_task_is_no_hindrance(data, task):
    fitted = fit(with_outcomes(data, tasks=np.full(len(data.rows), task)))
    predicted = fitted.predictor.predict(data.rows)
    assert np.isfinite(predicted).all()
    again = QualityPredictor.restore(fitted.predictor.models, fitted.predictor.arrays(), fitted.predictor.calibration())
    assert again.predict(data.rows).tobytes() == predicted.tobytes()


def test_the_distilled_head_says_what_the_winning_family_says(world, data, quality, training_set):
    winner = next(score for score in quality.families if score.chosen)
    assert winner.name == quality.families[0].name
    fresh = training_set(make_world(np.random.default_rng(98), 300, prefix="d")).rows
    taught, said = quality.undistilled(fresh), quality.predictor.predict(fresh)
    assert ((said - taught) ** 2).mean() < 0.2 * taught.var(axis=0).mean()
    assert quality.report["distillation_rmse"] < 0.2
