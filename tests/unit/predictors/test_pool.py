import dataclasses

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.features.kinds import KIND_TABLE
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies, fit_pool
from beast_ml.testing.worlds import WORLD_PRICES

NETWORK = NetworkConfig(hidden=(8,), dropout=0.0, epochs=2)
TINY = FamiliesConfig(("network",), NETWORK, student=NETWORK)
FAMILIES = PoolFamilies(TINY, TINY)  # what is fitted is looked at here, not how well


@pytest.fixture(scope="module")
def data(world, training_set):
    return training_set(world)


def fit(data, prices=None, failed=None, **changes):
    outcomes = dataclasses.replace(data.outcomes, **changes)
    changed = dataclasses.replace(data, outcomes=outcomes, failed=failed)
    return fit_pool(changed, np.random.default_rng(0), prices, families=FAMILIES)


def unknown(data):
    return np.full_like(data.outcomes.quality, np.nan)


def partly(values, j=1):
    out = values.copy()
    out[:, j] = np.nan
    return out


def test_everything_is_fitted_when_everything_was_observed(data):
    failed = np.zeros_like(data.outcomes.quality)
    failed[::7] = 1.0
    fitted = fit(data, failed=failed)
    assert isinstance(fitted.predictors.cost, TokenCostPredictor)
    assert set(fitted.targets) == {"quality", "input_tokens", "output_tokens", "cost", "latency", "reliability"}
    expected = fitted.predictors.predict(data.rows)
    missing = [name for part in (expected, fitted.out_of_fold) for name, values in vars(part).items() if values is None]
    assert missing == ["caution", "caution"]  # nothing was left untried
    for values in (*vars(expected).values(), *vars(fitted.out_of_fold).values()):
        if values is None:
            continue
        assert values.shape == data.outcomes.quality.shape
        assert np.isfinite(values).all()


def test_dollars_are_learnt_where_tokens_do_not_explain_them(data):
    noise = np.random.default_rng(0).uniform(0.5, 2, data.outcomes.cost_usd.shape)
    fitted = fit(data, cost_usd=data.outcomes.cost_usd * noise)
    assert isinstance(fitted.predictors.cost, AmountPredictor)
    assert "cost" in fitted.targets


def test_given_prices_replace_recovered_ones(data):
    prices = {name: Price(1.0, 1.0) for name in WORLD_PRICES}
    assert fit(data, prices).predictors.cost.prices == tuple(prices.values())
    without_costs = fit(data, prices, cost_usd=unknown(data))
    assert isinstance(without_costs.predictors.cost, TokenCostPredictor)


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_without_the_tokens_of_one_model_dollars_are_learnt(data, field):
    fitted = fit(data, **{field: partly(getattr(data.outcomes, field))})
    assert isinstance(fitted.predictors.cost, AmountPredictor)


@pytest.mark.parametrize("missing", [unknown, lambda data: partly(data.outcomes.cost_usd)], ids=["all", "one model"])
def test_costs_that_are_not_known_of_every_model_are_not_predicted(data, missing):
    fitted = fit(data, cost_usd=missing(data))
    assert fitted.predictors.cost is None
    assert fitted.out_of_fold.cost_usd is None
    assert fitted.predictors.predict(data.rows).cost_usd is None


@pytest.mark.parametrize("missing", [unknown, lambda data: partly(data.outcomes.latency_s)], ids=["all", "one model"])
def test_latency_that_is_not_known_of_every_model_is_not_predicted(data, missing):
    fitted = fit(data, latency_s=missing(data))
    assert fitted.predictors.latency is None
    assert fitted.out_of_fold.latency_s is None


def test_time_to_the_first_token_is_learnt_where_it_is_known_of_every_model(data):
    assert fit(data).predictors.ttft is None
    first = 0.1 * data.outcomes.latency_s
    assert fit(data, ttft_s=partly(first)).predictors.ttft is None
    fitted = fit(data, ttft_s=first)
    expected = fitted.predictors.ttft.predict(data.rows)
    assert (expected < fitted.predictors.latency.predict(data.rows)).mean() > 0.95
    assert fitted.targets["ttft"].predictor is fitted.predictors.ttft


def test_kinds_are_told_where_tasks_are_known(data):
    assert fit(data).kind is None
    kinds = KIND_TABLE.labels(data.outcomes.tasks)
    fitted = fit_pool(dataclasses.replace(data, kinds=kinds), np.random.default_rng(0), families=FAMILIES)
    assert fitted.predictors.kind is fitted.kind.predictor
    assert fitted.predictors.kind.kinds == ("code", "conversation", "maths", "translation")


@pytest.mark.parametrize("failed", [None, 0.0], ids=["not known", "none failed"])
def test_reliability_needs_failures(data, failed):
    failures = None if failed is None else np.full_like(data.outcomes.quality, failed)
    assert fit(data, failed=failures).predictors.reliability is None


def test_before_distillation_the_families_that_won_predict_every_target(data):
    several = FamiliesConfig(("network", "ridge"), TINY.network, student=NETWORK)
    fitted = fit_pool(data, np.random.default_rng(0), families=PoolFamilies(several, several))
    expected = fitted.undistilled(data.rows)
    assert np.corrcoef(expected.quality.ravel(), fitted.predictors.predict(data.rows).quality.ravel())[0, 1] > 0.5
    for values in (expected.quality, expected.cost_usd, expected.latency_s):
        assert values.shape == data.outcomes.quality.shape
        assert np.isfinite(values).all()


def test_before_distillation_a_machine_is_paid_by_the_second_too(data):
    prices = WORLD_PRICES | {"large": Price.of_machine(3.6, concurrency=10)}
    expected = fit(data, prices).undistilled(data.rows)
    np.testing.assert_allclose(expected.cost_usd[:, 0], expected.latency_s[:, 0] * 1e-4)


def test_the_same_names_of_families_hold_for_every_target():
    families = PoolFamilies.of_names(("ridge", "network"))
    assert families.quality.members == families.amounts.members == ("ridge", "network")
    assert families.quality.network != families.amounts.network
