import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.amounts import AmountPredictor, fit_amounts
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.testing.worlds import make_world, thin_out

NETWORK = NetworkConfig(hidden=(32,), dropout=0.1, task_weight=0.0, epochs=12, learning_rate=5e-3)
SMALL = FamiliesConfig(("network", "ridge"), NETWORK, student=NETWORK)


def fit(data, amounts, what="cost"):
    return fit_amounts(data, amounts, what, np.random.default_rng(0), SMALL)


@pytest.fixture(scope="module")
def data(world, training_set):
    return training_set(world)


@pytest.fixture(scope="module")
def cost(data):
    return fit(data, data.outcomes.cost_usd)


@pytest.fixture(scope="module")
def fresh(training_set):
    world = make_world(np.random.default_rng(42), 600, prefix="f")
    return world, training_set(world).rows


def test_it_predicts_what_prompts_tell_of_amounts(cost, fresh):
    world, rows = fresh
    assert cost.report["log_r2_out_of_fold"] > 0.5
    errors = np.abs(np.log(cost.predictor.predict(rows) / world.cost_usd))
    naive = np.abs(np.log(world.cost_usd.mean(axis=0) / world.cost_usd))
    assert np.median(errors) < 0.6 * np.median(naive)


def test_smearing_makes_out_of_fold_means_right(cost, data):
    np.testing.assert_allclose(cost.out_of_fold.mean(axis=0), data.outcomes.cost_usd.mean(axis=0), rtol=0.02)
    assert (cost.predictor.smearing > 1.02).all()  # the exponential of a mean log is below the mean


def test_intervals_are_above_zero_where_no_amount_was_zero(cost, data):
    low, high = cost.predictor.interval(data.rows)
    assert ((low > 0) & (low < high)).all()


def test_what_is_stored_restores_it_to_the_bit(cost, data):
    predictor = cost.predictor
    again = AmountPredictor.restore(predictor.models, predictor.arrays(), predictor.calibration())
    assert again.predict(data.rows).tobytes() == predictor.predict(data.rows).tobytes()
    for one, other in zip(again.interval(data.rows), predictor.interval(data.rows), strict=True):
        assert one.tobytes() == other.tobytes()


def test_equal_seeds_give_equal_predictions(cost, data):
    again = fit(data, data.outcomes.cost_usd)
    assert again.predictor.predict(data.rows).tobytes() == cost.predictor.predict(data.rows).tobytes()


def test_unobserved_cells_are_left_out(data, world):
    thin = thin_out(world.outcomes, np.random.default_rng(0), 0.5)
    fitted = fit(data, thin.cost_usd)
    assert np.isfinite(fitted.out_of_fold).all()
    assert fitted.report["log_r2_out_of_fold"] > 0.4


def test_a_free_model_costs_nothing_and_its_interval_says_so(data):
    amounts = data.outcomes.cost_usd.copy()
    amounts[:, 2] = 0.0
    fitted = fit(data, amounts)
    assert (fitted.predictor.predict(data.rows)[:, 2] == 0).all()
    assert (fitted.predictor.predict(data.rows)[:, :2] > 0).all()
    low, high = fitted.predictor.interval(data.rows)
    assert (low[:, 2] == 0).all()
    assert (high[:, 2] >= 0).all()


def test_a_pool_that_is_free_throughout_can_be_fitted(data):
    fitted = fit(data, np.zeros_like(data.outcomes.cost_usd))
    assert (fitted.predictor.predict(data.rows) == 0).all()
    assert fitted.report["log_r2_out_of_fold"] == 1.0


def test_occasional_zeros_are_inside_the_interval(data):
    amounts = np.where(np.arange(len(data.rows))[:, None] % 3 == 0, 0.0, 1.0) * data.outcomes.cost_usd
    low, high = fit(data, amounts).predictor.interval(data.rows)
    assert ((low <= amounts) & (amounts <= high)).mean() > 0.85
    assert (low[amounts == 0] == 0).mean() > 0.8


def test_a_constant_amount_is_predicted_and_has_no_r2(data):
    fitted = fit(data, np.full_like(data.outcomes.cost_usd, 0.25), "latency")
    np.testing.assert_allclose(fitted.predictor.predict(data.rows), 0.25, rtol=0.01)
    assert fitted.report["log_r2_out_of_fold"] == 1.0


def test_a_model_without_amounts_is_named(data):
    amounts = data.outcomes.cost_usd.copy()
    amounts[:, 1] = np.nan
    with pytest.raises(NotEnoughDataError, match=r"no latency of model 'medium'.*leave the model out"):
        fit(data, amounts, "latency")


def test_one_observation_is_enough_not_to_crash(data):
    amounts = data.outcomes.cost_usd.copy()
    amounts[1:, 0] = np.nan
    predicted = fit(data, amounts).predictor.predict(data.rows)
    assert np.isfinite(predicted).all()


def test_extreme_outputs_stay_finite(cost, data):
    wild = np.full((2, data.rows.shape[1]), [[1e30], [-1e30]], np.float32)
    assert np.isfinite(cost.predictor.predict(wild)).all()


def test_a_shift_forgets_small_differences_and_keeps_totals(data):
    amounts = data.outcomes.output_tokens
    shifted = fit_amounts(data, amounts, "output tokens", np.random.default_rng(0), SMALL, shift=10.0)
    predictor = shifted.predictor
    assert (predictor.predict(data.rows) >= 0).all()
    np.testing.assert_allclose(shifted.out_of_fold.mean(axis=0), amounts.mean(axis=0), rtol=0.03)
    low, high = predictor.interval(data.rows)
    assert ((low >= 0) & (low < high)).all()
    assert shifted.report["coverage_out_of_fold"] == pytest.approx(0.9, abs=0.02)
    restored = AmountPredictor.restore(predictor.models, predictor.arrays(), predictor.calibration())
    np.testing.assert_array_equal(restored.predict(data.rows), predictor.predict(data.rows))


def test_intervals_are_wide_where_amounts_scatter(data):
    most = data.rows[:, data.rows.std(axis=0).argmax()]
    wild = most > np.median(most)
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(data.outcomes.cost_usd.shape) * np.where(wild, 1.0, 0.1)[:, None]
    found = fit(data, np.exp(noise))
    low, high = found.predictor.interval(data.rows)
    width = np.log(high / low)
    assert np.median(width[wild]) > 1.5 * np.median(width[~wild])
    held = found.out_of_fold_inside
    assert held[~wild].mean() - held[wild].mean() < 0.15  # intervals of one width: above 0.2
