import numpy as np
import pytest

from beast_ml.benchmarks.learning import sequential_part
from beast_ml.benchmarks.learning.sequential import FalseAlarms, ManyVariants, SamplesSaved
from beast_ml.benchmarks.learning.sequential_part import measure_sequential, two_best
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.testing.outcome_sets import random_outcomes


def test_the_two_best_models_are_compared_where_both_answered():
    outcomes = random_outcomes(np.random.default_rng(0), 80, 4, missing=0.2)
    pair = two_best(outcomes)
    means = np.nanmean(outcomes.quality, axis=0)
    assert set(pair.models) == {outcomes.models[i] for i in np.argsort(means)[-2:]}
    assert np.isfinite(pair.quality).all()
    assert 0 < pair.n_queries < 80


def test_without_real_sets_the_drawn_figures_are_there_and_found_again(tmp_path, monkeypatch):
    calls = []

    def alarms(name, n, n_looks, seed):
        calls.append(name)
        return FalseAlarms(name, n, n_looks, 0.03, 0.01, 0.06, 0.4)

    monkeypatch.setattr(sequential_part, "false_alarms", alarms)
    monkeypatch.setattr(
        sequential_part, "samples_saved", lambda n, _: [SamplesSaved(1.0, 100, 160, 0.8, 0.9, 0.8, 1.0)]
    )
    monkeypatch.setattr(sequential_part, "many_variants", lambda n, _: [ManyVariants("fdr", n, 3, 0.0, 0.0, 0.9)])
    context = PartContext(None, "static", 1, True, False, tmp_path, lambda _: None)
    result = measure_sequential(context)
    assert {figure.name for figure in result.figures} == {
        "false_alarms", "units_ratio", "power", "fdr", "fwer", "found"
    }  # fmt: skip
    assert sum("is not there" in note for note in result.notes) == 3
    assert measure_sequential(context).figures == result.figures
    assert len(calls) == len(set(calls))


@pytest.mark.slow
def test_covariates_are_tried_with_predictions_made_out_of_fold():
    outcomes = random_outcomes(np.random.default_rng(0), 120, 3, missing=0.0)
    from beast_ml.policy.learner import RouterLearner
    from beast_ml.testing.router_fixtures import QUICK

    pair = two_best(outcomes)
    reduced, bias = sequential_part._reduced("bfcl", pair, RouterLearner("hashing", families=QUICK))
    assert (reduced.name, bias.name) == ("variance_reduction", "effect_bias")
    assert -0.2 < reduced.value < 1.0
