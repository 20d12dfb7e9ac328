import dataclasses

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.errors import NotEnoughDataError, UnknownModelError
from beast_ml.predictors.amounts import fit_amounts
from beast_ml.predictors.cost import OUTPUT_SHIFT, TokenCostPredictor, fit_token_cost, recover_prices
from beast_ml.predictors.fused import FusedPredictors, fuse
from beast_ml.predictors.one_more import AmountOffset
from beast_ml.testing.router_fixtures import QUICK
from beast_ml.testing.worlds import WORLD_PRICES, thin_out


@pytest.fixture(scope="module")
def cost(fitted):
    assert isinstance(fitted.pool.predictors.cost, TokenCostPredictor)
    return fitted.pool.predictors.cost


@pytest.fixture(scope="module")
def rows(fitted, world):
    return fitted.rows(world.outcomes.prompts)


@pytest.mark.parametrize("hidden", [0.0, 0.7])
def test_prices_are_recovered_from_costs_and_tokens(world, hidden):
    outcomes = thin_out(world.outcomes, np.random.default_rng(0), hidden)
    prices = recover_prices(outcomes)
    assert set(prices) == set(WORLD_PRICES)
    for name, price in prices.items():
        assert price.input_usd_per_mtok == pytest.approx(WORLD_PRICES[name].input_usd_per_mtok, rel=1e-4)
        assert price.output_usd_per_mtok == pytest.approx(WORLD_PRICES[name].output_usd_per_mtok, rel=1e-4)


def test_costs_that_tokens_do_not_explain_have_no_price(world):
    cost = world.outcomes.cost_usd.copy()
    cost[:, 0] *= np.random.default_rng(0).uniform(0.5, 2.0, len(cost))
    cost[:10, 1] *= 2  # 3% of the calls
    cost[:2, 2] *= 2  # 0.7% of the calls
    assert set(recover_prices(dataclasses.replace(world.outcomes, cost_usd=cost))) == {"small"}


def test_a_few_calls_tell_no_price_and_a_free_model_is_free(world):
    cost = world.outcomes.cost_usd.copy()
    cost[9:, 0] = np.nan
    cost[:, 1] = 0.0
    cost[5:, 2] = 0.0
    assert recover_prices(dataclasses.replace(world.outcomes, cost_usd=cost)) == {"medium": Price(0.0, 0.0)}


def test_cost_is_price_times_predicted_tokens(cost, rows):
    n_in, n_out = cost.input_tokens.predict(rows), cost.output_tokens.predict(rows)
    for j, price in enumerate(cost.prices):
        expected = [price.cost_usd(a, b) for a, b in zip(n_in[:, j], n_out[:, j], strict=True)]
        np.testing.assert_allclose(cost.predict(rows)[:, j], expected)


def test_a_price_change_needs_no_training(cost, rows):
    doubled = {name: Price(2 * p.input_usd_per_mtok, 2 * p.output_usd_per_mtok) for name, p in WORLD_PRICES.items()}
    dearer = cost.with_prices({"medium": doubled["medium"]})
    ratio = dearer.predict(rows) / cost.predict(rows)
    np.testing.assert_allclose(ratio, np.broadcast_to([1.0, 2.0, 1.0], ratio.shape), rtol=1e-3)
    assert dearer.output_tokens is cost.output_tokens


def test_a_price_for_a_stranger_is_refused(cost):
    with pytest.raises(UnknownModelError, match="no candidate 'gpt'; the pool is large, medium, small"):
        cost.with_prices({"gpt": Price(1, 1)})


def test_what_is_stored_restores_it_to_the_bit(cost, rows):
    again = TokenCostPredictor.restore(cost.models, cost.prices, cost.arrays(), cost.calibration())
    assert again.predict(rows).tobytes() == cost.predict(rows).tobytes()
    for one, other in zip(again.interval(rows), cost.interval(rows), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.fixture(scope="module")
def terse(world, training_set):
    """Half of the answers have a token or none, and the prompt is free at the first model."""
    data = training_set(world)
    rng = np.random.default_rng(3)
    tokens = data.outcomes.output_tokens.copy()
    short = rng.random(tokens.shape) < 0.5
    tokens[short] = rng.integers(0, 2, int(short.sum()))
    data = dataclasses.replace(data, outcomes=dataclasses.replace(data.outcomes, output_tokens=tokens))
    inputs = fit_amounts(data, data.outcomes.input_tokens, "input", np.random.default_rng(0), QUICK.amounts)
    outputs = fit_amounts(data, tokens, "output", np.random.default_rng(0), QUICK.amounts, shift=OUTPUT_SHIFT)
    return data, inputs, outputs


def test_free_prompts_and_short_answers_have_intervals_that_hold_what_they_say(terse):
    data, inputs, outputs = terse
    prices = (Price(0.0, 3.0), Price(1.0, 2.0), Price(0.0, 0.0))
    fitted = fit_token_cost(data, inputs, outputs, prices)
    low, high = fitted.predictor.interval(data.rows)
    most = data.outcomes.output_tokens[:, 0].max() * 3e-6
    assert (low >= 0).all()
    assert (low <= high).all()
    assert high[:, 0].max() < 30 * most
    assert (fitted.predictor.predict(data.rows)[:, :2] > 0).all()
    assert (high[:, 2] == 0).all()
    held = fitted.out_of_fold_inside.mean(axis=0)
    np.testing.assert_allclose(held[:2], 0.9, atol=0.04)
    assert held[2] == 1.0


def test_fused_costs_of_short_answers_are_those_of_the_predictors(terse, fitted):
    data, inputs, outputs = terse
    cost = fit_token_cost(data, inputs, outputs, (Price(0.0, 3.0), Price(1.0, 2.0), Price(0.0, 0.0))).predictor
    pool = dataclasses.replace(fitted.pool.predictors, cost=cost, latency=None, reliability=None)
    together = fuse(pool)
    assert isinstance(together, FusedPredictors)
    said = together.predict(data.rows).cost_usd
    np.testing.assert_allclose(said, cost.predict(data.rows), rtol=1e-3, atol=1e-12)
    assert (said >= 0).all()


def test_a_model_like_another_gets_its_tokens_from_probes(terse):
    data, _, outputs = terse
    known, answers = outputs.predictor, data.outcomes.output_tokens
    offsets = [AmountOffset.learn(known, data.rows, answers[:, j]).value for j in range(3)]
    pooled = np.log(answers + OUTPUT_SHIFT).mean(axis=0)
    np.testing.assert_allclose(offsets, pooled - pooled.mean(), atol=0.1)


def test_tokens_that_are_never_known_together_are_no_cost(terse):
    data, inputs, outputs = terse
    apart = data.outcomes.input_tokens.copy()
    apart[:, 1] = np.nan
    lacking = dataclasses.replace(data, outcomes=dataclasses.replace(data.outcomes, input_tokens=apart))
    with pytest.raises(NotEnoughDataError, match="medium"):
        fit_token_cost(lacking, inputs, outputs, (Price(1.0, 1.0),) * 3)
