from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.accuracy import measure_calibration, measure_cost
from beast_ml.benchmarks.fold_results import Decided
from beast_ml.benchmarks.savings import measure_savings
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.benchmarks.shares import measure_shares
from beast_ml.benchmarks.strong_calls import measure_strong_calls
from beast_ml.policy.utility import Predictions


def values(result) -> dict[tuple[str, str], float]:
    return {(figure.router, figure.name): figure.value for figure in result.figures}


@pytest.fixture(scope="module")
def clairvoyant(scored: ScoredSet) -> ScoredSet:
    """`beast` knows the outcomes, and its operating point is the best and cheapest model of each query."""
    outcomes = scored.outcomes
    known = Predictions(outcomes.models, outcomes.quality, outcomes.cost_usd)
    best = np.lexsort((outcomes.cost_usd, -outcomes.quality))[:, 0].astype(np.int16)
    seeds = tuple(
        replace(seed, routers=(Decided("beast", known, {"100": best}), *seed.routers[1:])) for seed in scored.seeds
    )
    return replace(scored, seeds=seeds)


def test_the_oracle_closes_the_gap_and_the_zero_router_nothing_of_it(scored):
    found = values(measure_shares(scored))
    assert found["oracle", "share_of_gap"] == pytest.approx(1.0)
    assert found["zero_router", "share_of_gap"] == 0.0
    assert found["random", "share_of_gap"] < 0.02
    assert 0.02 < found["beast", "share_of_gap"] < 1.0


def test_a_router_that_knows_the_outcomes_is_the_oracle(clairvoyant):
    found = values(measure_shares(clairvoyant))
    assert found["beast", "share_of_gap"] == pytest.approx(1.0, abs=0.01)
    assert found["beast", "share_over_knn"] == pytest.approx(1.0 / found["knn", "share_of_gap"], rel=0.05)
    assert found["knn", "share_over_knn"] == 1.0


def test_every_figure_has_an_error_over_seeds_and_an_interval_over_queries(scored):
    figures = [figure for figure in measure_shares(scored).figures if (figure.router, figure.name) == ("beast", "aiq")]
    (figure,) = figures
    assert len(figure.seeds) == 2
    assert figure.standard_error is not None
    assert figure.low < figure.value < figure.high


def test_calls_to_the_dearest_are_counted_where_quality_alone_counts(clairvoyant):
    outcomes = clairvoyant.outcomes
    only_large = (outcomes.quality[:, 0] == 1) & (outcomes.quality[:, 1:] == 0).all(axis=1)
    found = values(measure_shares(clairvoyant))
    assert found["beast", "calls_to_dearest"] == pytest.approx(only_large.mean())


def test_savings_are_those_of_the_chosen_models_against_best_and_dearest(clairvoyant):
    outcomes, found = clairvoyant.outcomes, values(measure_savings(clairvoyant))
    chosen = clairvoyant.seeds[0].routers[0].operating["100"][:, None].astype(int)
    cost = np.take_along_axis(outcomes.cost_usd, chosen, axis=1).mean()
    large = outcomes.cost_usd[:, 0].mean()
    assert found["beast", "saving_100"] == pytest.approx(1 - cost / large)
    assert found["beast", "cost_100"] == pytest.approx(cost)
    assert found["oracle", "cost_100"] <= found["beast", "cost_100"]
    assert found["beast", "saving_vs_dearest_100"] == pytest.approx(1 - cost / large)
    assert found["beast", "quality_gain_100"] == pytest.approx(
        outcomes.quality.max(axis=1).mean() - outcomes.quality[:, 0].mean()
    )
    assert found["oracle", "quality_gain_100"] == pytest.approx(found["beast", "quality_gain_100"])
    # The oracle may buy just the best single model's quality, so it saves more than the best choice of every query.
    assert found["oracle", "saving_100"] >= found["beast", "saving_100"]


def test_without_cost_there_is_nothing_to_save_or_to_predict(scored):
    free = ScoredSet.of("free", scored.outcomes, "none", scored.seeds, 20)
    assert measure_savings(free).figures == ()
    assert "nothing to save" in measure_savings(free).notes[0]
    assert measure_cost(free).figures == ()


def test_strong_calls_are_of_pools_of_two(scored, clairvoyant):
    assert measure_strong_calls(scored).figures == ()
    pair = clairvoyant.outcomes.pool(["large", "small"])
    at = [clairvoyant.outcomes.models.index(model) for model in pair.models]
    seeds = tuple(
        replace(
            seed,
            reference=0,
            routers=tuple(
                replace(
                    router,
                    predictions=Predictions(
                        pair.models, router.predictions.quality[:, at], router.predictions.cost[:, at]
                    ),
                )
                for router in seed.routers
            ),
        )
        for seed in clairvoyant.seeds
    )
    found = values(measure_strong_calls(ScoredSet.of("pair", pair, "cost_usd", seeds, 20)))
    assert found["beast", "apgr"] > found["knn", "apgr"] > 0.5
    assert found["beast", "cpt50"] < found["knn", "cpt50"]
    assert not any(router.startswith("best_per") for router, _ in found)


def test_a_router_that_knows_the_outcomes_is_calibrated_and_knows_the_cost(clairvoyant):
    assert values(measure_calibration(clairvoyant))["beast", "ece"] == pytest.approx(0.0)
    costs = values(measure_cost(clairvoyant))
    assert costs["beast", "log_r2"] == pytest.approx(1.0)
    assert costs["beast", "median_ratio_error"] == pytest.approx(0.0)
    assert costs["knn", "log_r2"] < 1.0
