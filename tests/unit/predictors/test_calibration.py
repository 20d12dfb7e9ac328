import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.predictors.calibration import PlattScaling, cross_calibrate, logit
from beast_ml.predictors.heads import sigmoid


def miscalibrated(n, slope, offset, seed=0):
    """Predictions whose truth is sigmoid(slope x logit + offset)."""
    rng = np.random.default_rng(seed)
    predicted = sigmoid(rng.standard_normal((n, 1)) * 1.5)
    truth = sigmoid(slope * logit(predicted) + offset)
    return predicted, truth, (rng.random((n, 1)) < truth).astype(float)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 0.4), (1.6, -0.7)])
def test_a_known_miscalibration_is_recovered(slope, offset):
    predicted, truth, outcome = miscalibrated(20_000, slope, offset)
    platt = PlattScaling.fit(predicted, outcome)
    assert platt.slope[0] == pytest.approx(slope, abs=0.06)
    assert platt.offset[0] == pytest.approx(offset, abs=0.06)
    assert np.abs(platt.apply(predicted) - truth).mean() < 0.01


def test_candidates_are_calibrated_one_by_one_and_nan_is_left_out():
    first, second = miscalibrated(3000, 0.5, 0.4, 1), miscalibrated(3000, 1.6, -0.7, 2)
    predicted = np.hstack([first[0], second[0]])
    outcome = np.hstack([first[2], second[2]])
    hidden = np.random.default_rng(3).random(outcome.shape) < 0.3
    both = PlattScaling.fit(predicted, np.where(hidden, np.nan, outcome))
    for j in range(2):
        seen = ~hidden[:, j]
        alone = PlattScaling.fit(predicted[seen, j : j + 1], outcome[seen, j : j + 1])
        assert both.slope[j] == pytest.approx(alone.slope[0])
        np.testing.assert_allclose(both.covariance[j], alone.covariance[0])


def test_without_data_predictions_stay_as_they_were():
    nothing = PlattScaling.fit(np.full((5, 1), 0.3), np.full((5, 1), np.nan))
    assert nothing.slope.tolist() == [1.0]
    assert nothing.apply(np.array([[0.3]])) == pytest.approx(0.3)
    little = PlattScaling.fit(np.full((2, 1), 0.3), np.ones((2, 1)))
    assert 0.3 < float(little.apply(np.array([[0.3]]))[0, 0]) < 0.6


@given(st.floats(0, 1), st.integers(0, 20))
def test_calibration_keeps_order_and_the_interval_holds_the_value(p, seed):
    platt = PlattScaling.fit(*miscalibrated(100, 1.2, 0.3, seed)[::2])
    low, high = platt.interval(np.array([[p]]))
    value = platt.apply(np.array([[p]]))
    assert 0 <= low <= value <= high <= 1
    assert platt.apply(np.array([[min(p + 0.1, 1.0)]])) >= value


def test_more_data_narrow_the_interval():
    half = np.array([[0.5]])
    widths = []
    for n in (50, 500, 5000):
        low, high = PlattScaling.fit(*miscalibrated(n, 1.0, 0.0)[::2]).interval(half)
        widths.append(float(high[0, 0] - low[0, 0]))
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_an_interval_is_wider_where_the_truth_is_on_no_logistic_curve():
    rng = np.random.default_rng(0)
    predicted = np.full((4000, 1), 0.5) + rng.uniform(-0.4, 0.4, (4000, 1))
    smooth = (rng.random((4000, 1)) < predicted).astype(float)
    steps = (rng.random((4000, 1)) < np.where(np.floor(predicted * 5) % 2, 0.7, 0.3)).astype(float)
    assert PlattScaling.fit(predicted, smooth).misfit[0] < 0.02
    stepped = PlattScaling.fit(predicted, steps)
    assert stepped.misfit[0] > 0.3
    low, high = stepped.interval(np.array([[0.5]]))
    assert low < 0.35
    assert high > 0.65


def test_a_scaling_survives_its_dictionary():
    platt = PlattScaling.fit(*miscalibrated(200, 0.8, 0.1)[::2])
    again = PlattScaling.from_dict(platt.to_dict())
    p = np.linspace(0, 1, 11)[:, None]
    assert again.apply(p).tobytes() == platt.apply(p).tobytes()
    assert again.interval(p)[0].tobytes() == platt.interval(p)[0].tobytes()


def test_cross_calibration_does_not_see_the_fold_it_predicts():
    predicted, _, outcome = miscalibrated(300, 0.5, 0.4)
    folds = np.arange(300) % 3
    flipped = np.where((folds == 1)[:, None], 1 - outcome, outcome)
    before, after = cross_calibrate(predicted, outcome, folds), cross_calibrate(predicted, flipped, folds)
    np.testing.assert_array_equal(before[folds == 1], after[folds == 1])
    assert not np.allclose(before[folds == 0], after[folds == 0])


def test_predictions_that_are_far_off_are_calibrated_all_the_same():
    truth = np.tile([0.0, 0.0, 0.0, 0.0, 1.0], 60)[:, None]
    fitted = PlattScaling.fit(np.full((300, 1), 0.97), truth)
    assert 0.2 < float(fitted.apply(np.array([[0.97]]))[0, 0]) < 0.35


def test_a_common_slope_is_what_one_fit_to_all_candidates_gives():
    predicted, _, outcome = miscalibrated(4000, 1.4, 0.2)
    both = PlattScaling.fit_common_slope(np.hstack([predicted, predicted]), np.hstack([outcome, outcome]))
    alone = PlattScaling.fit(predicted, outcome)
    assert both.slope[0] == both.slope[1]
    np.testing.assert_allclose(both.slope[0], alone.slope[0], atol=0.02)
    np.testing.assert_allclose(both.offset, alone.offset[0], atol=0.02)
    assert (both.covariance[:, 0] < alone.covariance[0, 0]).all()  # twice the data
