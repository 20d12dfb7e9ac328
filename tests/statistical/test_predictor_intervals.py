"""Every interval a router prints holds what it says it holds, on requests nobody has seen."""

import functools

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.amounts import fit_amounts
from beast_ml.predictors.contract import TrainingSet
from beast_ml.predictors.cost import fit_token_cost
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.quality import fit_quality
from beast_ml.testing.worlds import WORLD_MODELS, WORLD_PRICES, make_world

SEEDS = range(6)
N_TRAIN, N_FRESH = 1000, 3000
QUALITY = FamiliesConfig(("network",), NetworkConfig(hidden=(32,), epochs=12, learning_rate=5e-3))
AMOUNT = FamiliesConfig(
    ("network",), NetworkConfig(hidden=(32,), dropout=0.1, task_weight=0.0, epochs=12, learning_rate=5e-3)
)


@functools.cache
def scene(seed):
    """Return a training set, a fresh world and its features."""
    world = make_world(np.random.default_rng(seed), N_TRAIN)
    fresh = make_world(np.random.default_rng(1000 + seed), N_FRESH, prefix="f")
    encoder = HashingEncoder(128)
    features = FeatureBuilder(FeatureSpec.learn(encoder, world.outcomes.prompts), encoder)
    prompts = world.outcomes.prompts
    data = TrainingSet(features.matrix(prompts), world.outcomes, query_fold(prompts, 5, 0))
    return data, fresh, features.matrix(fresh.outcomes.prompts)


@functools.cache
def amounts(seed, name):
    data, _, _ = scene(seed)
    return fit_amounts(data, getattr(data.outcomes, name), name, np.random.default_rng(seed), AMOUNT)


def inside(predictor, rows, truth):
    low, high = predictor.interval(rows)
    return ((truth >= low) & (truth <= high)).mean(axis=0)


@pytest.mark.parametrize("name", ["cost_usd", "output_tokens", "latency_s"])
def test_conformal_intervals_hold_ninety_percent_of_fresh_amounts(name):
    shares = [
        inside(amounts(seed, name).predictor, scene(seed)[2], getattr(scene(seed)[1].outcomes, name)) for seed in SEEDS
    ]
    per_model = np.mean(shares, axis=0)
    assert ((per_model > 0.87) & (per_model < 0.93)).all(), per_model


def token_cost(seed):
    data, _, _ = scene(seed)
    prices = tuple(WORLD_PRICES[name] for name in WORLD_MODELS)
    return fit_token_cost(data, amounts(seed, "input_tokens"), amounts(seed, "output_tokens"), prices)


def test_the_interval_of_a_cost_that_is_price_times_tokens_holds_ninety_percent():
    shares, quantiles = [], {0.05: [], 0.5: [], 0.95: []}
    for seed in SEEDS:
        _, fresh, rows = scene(seed)
        cost = token_cost(seed).predictor
        shares.append(inside(cost, rows, fresh.outcomes.cost_usd))
        for q, below in quantiles.items():
            below.append((fresh.outcomes.cost_usd <= cost.quantile(rows, q)).mean(axis=0))
    per_model = np.mean(shares, axis=0)
    assert ((per_model > 0.87) & (per_model < 0.93)).all(), per_model
    for q, below in quantiles.items():
        np.testing.assert_allclose(np.mean(below, axis=0), q, atol=0.025, err_msg=f"quantile {q}")


@pytest.mark.parametrize(("input_times", "output_times"), [(10.0, 1.0), (1.0, 10.0)])
def test_the_interval_of_a_cost_outlives_a_price_change(input_times, output_times):
    shares = []
    for seed in SEEDS:
        _, fresh, rows = scene(seed)
        fitted = token_cost(seed).predictor
        prices = tuple(
            Price(p.input_usd_per_mtok * input_times, p.output_usd_per_mtok * output_times) for p in fitted.prices
        )
        cost = fitted.with_prices(dict(zip(WORLD_MODELS, prices, strict=True)))
        tokens = (fresh.outcomes.input_tokens, fresh.outcomes.output_tokens)
        realised = sum(
            amount * [getattr(p, f"{kind}_usd_per_mtok") / 1e6 for p in prices]
            for kind, amount in zip(("input", "output"), tokens, strict=True)
        )
        shares.append(inside(cost, rows, realised))
    per_model = np.mean(shares, axis=0)
    assert ((per_model > 0.84) & (per_model < 0.96)).all(), per_model


def test_coverage_out_of_fold_is_coverage_on_fresh_requests():
    for name in ("output_tokens", "latency_s"):
        said = np.mean([amounts(seed, name).report["coverage_out_of_fold"] for seed in SEEDS])
        found = np.mean(
            [inside(amounts(s, name).predictor, scene(s)[2], getattr(scene(s)[1].outcomes, name)) for s in SEEDS]
        )
        assert said == pytest.approx(found, abs=0.015)


@pytest.mark.parametrize("name", ["cost_usd", "output_tokens"])
def test_smearing_makes_mean_amounts_right(name):
    ratios = []
    for seed in SEEDS:
        _, fresh, rows = scene(seed)
        ratios.append(amounts(seed, name).predictor.predict(rows).mean(axis=0) / getattr(fresh, name).mean(axis=0))
    # Each world of 1000 pins a mean down to about 4%, six of them to 2%; without smearing it would be 10% low.
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1.0, atol=0.05)


def test_quality_intervals_hold_the_mean_quality_of_requests_predicted_alike():
    held, n = 0, 0
    for seed in SEEDS:
        data, fresh, rows = scene(seed)
        predictor = fit_quality(data, np.random.default_rng(seed), QUALITY).predictor
        predicted, (low, high) = predictor.predict(rows), predictor.interval(rows)
        for j in range(len(WORLD_MODELS)):
            for alike in np.array_split(np.argsort(predicted[:, j]), 5):
                # The truth is known, so the group's mean has no sampling error of its own.
                held += low[alike, j].mean() <= fresh.quality[alike, j].mean() <= high[alike, j].mean()
                n += 1
    assert 0.82 <= held / n <= 0.97, held / n


def test_predicted_quality_is_calibrated_on_fresh_requests():
    errors = []
    for seed in SEEDS:
        data, fresh, rows = scene(seed)
        predicted = fit_quality(data, np.random.default_rng(seed), QUALITY).predictor.predict(rows)
        errors.append(predicted.mean(axis=0) - fresh.quality.mean(axis=0))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.02
