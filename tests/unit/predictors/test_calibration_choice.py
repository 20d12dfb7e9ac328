import numpy as np
import pytest

from beast_ml.predictors.calibration_choice import Calibration, choose_calibration
from beast_ml.predictors.heads import sigmoid

N = 4000


def stepped(seed=0):
    """Predictions whose truth is a staircase, which no logistic curve follows."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0.02, 0.98, (N, 2))
    truth = np.where(predicted < 0.35, 0.1, np.where(predicted < 0.7, 0.45, 0.95))
    return predicted, truth, (rng.random((N, 2)) < truth).astype(float), np.arange(N) % 5


def logistic(slopes=(0.6, 0.6)):
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.02, 0.98, (N, 2))
    truth = sigmoid(np.array(slopes) * np.log(predicted / (1 - predicted)) + 0.3)
    return predicted, truth, (rng.random((N, 2)) < truth).astype(float), np.arange(N) % 5


def test_one_slope_is_kept_where_it_serves_all():
    predicted, truth, outcome, folds = logistic()
    calibration, out_of_fold, errors = choose_calibration(predicted, outcome, folds)
    assert calibration.kind == "platt_common_slope"
    assert calibration.platt.slope[0] == calibration.platt.slope[1] == pytest.approx(0.6, abs=0.05)
    assert set(errors) == {"platt_common_slope", "platt", "isotonic", "venn_abers"}
    assert np.abs(out_of_fold - truth).mean() < 0.02


def test_every_candidate_gets_its_own_slope_where_that_moves_decisions():
    predicted, truth, outcome, folds = logistic(slopes=(0.3, 1.5))
    calibration, out_of_fold, _ = choose_calibration(predicted, outcome, folds)
    assert calibration.kind == "platt"
    assert np.abs(out_of_fold - truth).mean() < 0.02


def test_what_is_easy_for_everybody_moves_no_candidate_past_another():
    rng = np.random.default_rng(1)
    easy, better = rng.normal(0.0, 1.5, N), rng.normal(0.0, 0.3, N)
    logits = np.stack([easy + better, easy - better], axis=1)
    outcome = (rng.random((N, 2)) < sigmoid(logits)).astype(float)
    calibration, _, _ = choose_calibration(sigmoid(0.5 * logits), outcome, np.arange(N) % 5)
    calibrated = calibration.apply(sigmoid(0.5 * logits))
    agree = (calibrated[:, 0] > calibrated[:, 1]) == (better > 0)
    assert agree.mean() > 0.95


def test_a_freer_curve_is_chosen_where_it_is_needed():
    predicted, truth, outcome, folds = stepped()
    calibration, out_of_fold, errors = choose_calibration(predicted, outcome, folds)
    assert calibration.kind != "platt"
    assert errors[calibration.kind] < errors["platt"]
    platt = calibration.platt.apply(predicted)
    for values in (out_of_fold, calibration.apply(predicted)):
        assert np.abs(values - truth).mean() < 0.6 * np.abs(platt - truth).mean()


def test_curves_do_not_fall_and_stay_in_range_and_in_their_intervals():
    predicted, _, outcome, folds = stepped()
    calibration, _, _ = choose_calibration(predicted, outcome, folds)
    grid = np.repeat(np.linspace(0, 1, 400)[:, None], 2, axis=1)
    values = calibration.apply(grid)
    low, high = calibration.interval(grid)
    assert (np.diff(values, axis=0) >= -1e-12).all()
    assert ((low >= 0) & (low <= values) & (values <= high) & (high <= 1)).all()


def test_it_does_not_judge_a_fold_by_itself():
    predicted, _, outcome, folds = stepped()
    flipped = np.where((folds == 0)[:, None], 1 - outcome, outcome)
    before, after = (choose_calibration(predicted, labels, folds) for labels in (outcome, flipped))
    if before[0].kind == after[0].kind:
        np.testing.assert_array_equal(before[1][folds == 0], after[1][folds == 0])
    assert not np.allclose(before[1][folds == 1], after[1][folds == 1])


@pytest.mark.parametrize("make", [stepped, logistic])
def test_what_is_stored_restores_it_to_the_bit(make):
    predicted, _, outcome, folds = make()
    calibration, _, _ = choose_calibration(predicted, outcome, folds)
    again = Calibration.from_dict(calibration.to_dict())
    assert again.kind == calibration.kind
    assert again.apply(predicted).tobytes() == calibration.apply(predicted).tobytes()


def test_a_candidate_with_little_data_keeps_platts_curve():
    predicted, _, outcome, folds = stepped()
    outcome[20:, 1] = np.nan
    calibration, _, _ = choose_calibration(predicted, outcome, folds)
    assert calibration.knots is not None
    platt = calibration.platt.apply(predicted)
    assert np.abs(calibration.apply(predicted)[:, 1] - platt[:, 1]).max() < 0.01
    assert np.abs(calibration.apply(predicted)[:, 0] - platt[:, 0]).max() > 0.05


def test_a_kind_that_is_asked_for_is_taken_whatever_others_are_worth():
    predicted, _, outcome, folds = logistic()
    calibration, _, errors = choose_calibration(predicted, outcome, folds, "isotonic")
    assert calibration.kind == "isotonic"
    assert errors["isotonic"] > min(errors.values())
