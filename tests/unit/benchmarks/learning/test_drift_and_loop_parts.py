"""The simulated months and year behind the figures on drift and the loop: small ones, with their truth in view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.learning import drift_part
from beast_ml.benchmarks.learning.drift_part import DriftStream, Swap, rows_of
from beast_ml.benchmarks.learning.loop_part import YearResult, run_year
from beast_ml.benchmarks.learning.year import YEAR, Scenario, Year
from beast_ml.benchmarks.partial_feedback import LogSet
from beast_ml.testing.outcome_sets import random_outcomes


@pytest.fixture(scope="module")
def log_set() -> LogSet:
    rng = np.random.default_rng(0)
    models = tuple(sorted({YEAR.degrades, YEAR.becomes, YEAR.cheaper, YEAR.arrives, "Phi-3", "Qwen1.5"}))
    outcomes = random_outcomes(rng, 300, len(models), missing=0.0, models=models)
    return LogSet(outcomes, rng.normal(size=(outcomes.n_queries, 6)), np.zeros(outcomes.n_queries, dtype=bool))


def test_from_the_day_on_the_main_models_outcomes_are_the_other_ones(log_set, monkeypatch):
    monkeypatch.setattr(drift_part, "_DAYS", 4)
    monkeypatch.setattr(drift_part, "_CHANGE_DAY", 2)
    monkeypatch.setattr(drift_part, "_PER_DAY", 50)
    outcomes = log_set.outcomes
    stream = DriftStream(outcomes, np.full(outcomes.quality.shape, 0.5), main=0)
    plain, swapped = (list(rows_of(stream, np.random.default_rng(1), swap)) for swap in (None, Swap(1, 0.1)))
    assert plain[:100] == swapped[:100]
    changed = [(a, b) for a, b in zip(plain[100:], swapped[100:], strict=True) if a.model == outcomes.models[0]]
    assert any(a.quality != b.quality for a, b in changed)
    assert all(a.at == b.at and a.model == b.model and a.predicted_quality == b.predicted_quality for a, b in changed)
    others = [(a, b) for a, b in zip(plain, swapped, strict=True) if a.model != outcomes.models[0]]
    assert all(a == b for a, b in others)


def test_the_shifts_of_the_year_happen_on_their_days(log_set):
    world = Year(log_set)
    assert "Meta-Llama-3_1-8B-Instruct" not in world.models
    before, after = world.quality(89), world.quality(90)
    same = np.arange(len(world.models)) != world.degrades
    np.testing.assert_array_equal(before[:, same], after[:, same])
    assert (before[:, world.degrades] != after[:, world.degrades]).any()
    assert world.price_factor(179).sum() - world.price_factor(180).sum() == 0.5
    assert not world.available(269)[world.arrives]
    assert world.available(270).all()
    np.testing.assert_array_equal(world.day(3).queries, Year(log_set).day(3).queries)


def test_a_short_year_is_the_same_twice_and_nobody_beats_the_oracle(log_set):
    first, second = (run_year(log_set, 0, days=3, scenario=replace(YEAR, per_day=60)) for _ in range(2))
    for name, regret in first.regret.items():
        np.testing.assert_array_equal(regret, second.regret[name])
        assert (regret >= 0).all()
    assert {"loop", "never retrained", "daily, no gates", "informed"} <= set(first.regret)
    assert first.value["loop"][0] == first.value["never retrained"][0]


def test_what_does_not_happen_in_a_scenario_changes_nothing(log_set):
    plain = Year(log_set, scenario=Scenario(30, 50, 0.01, "Phi-3", "Qwen1.5", degrades_at=10))
    assert "Qwen1.5" not in plain.models
    assert plain.scenario.shifts == {"a model degrades": 10}
    assert plain.available(0).all()
    assert (plain.price_factor(29) == 1.0).all()
    assert [plain.regime(day) for day in (9, 10, 29)] == [0, 1, 1]


def test_recovery_counts_days_until_four_fifths_are_won():
    reachable = np.where(np.arange(30) < 10, 0.6, 0.5)
    lost = np.where(np.arange(30) < 10, 0.0, np.where(np.arange(30) < 17, 0.1, 0.01))
    result = YearResult(value={"loop": reachable - lost, "never": reachable - np.where(lost > 0, 0.1, 0)})
    result.reachable = reachable
    result.scenario = replace(YEAR, degrades_at=10)
    assert result.recovery_days("loop", 10) == 7.0
    assert result.recovery_days("never", 10) is None
