"""All streams of a log under one budget."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from beast_ml.errors import DataError, SettingsError
from beast_ml.operations.drift.advice import find_causes
from beast_ml.operations.drift.e_detector import EDetector
from beast_ml.operations.drift.monitor import DriftMonitor, MonitorConfig
from beast_ml.testing.drifting_logs import LOG_START, drifting_rows


def watched(rows, config=None):
    monitor = DriftMonitor(config or MonitorConfig())
    for row in rows:
        monitor.update(row)
    return monitor


def findings(monitor):
    models = {key.model for key, _ in monitor.streams() if key.signal == "quality"}
    return find_causes(monitor.alarms.values(), models)


def test_a_model_that_got_worse_is_named_dated_and_advised_on() -> None:
    monitor = watched(drifting_rows(np.random.default_rng(0), drop=0.35, longer=1.8, models=3))
    (finding,) = findings(monitor)
    assert (finding.cause, finding.model) == ("provider", "model-0")
    assert "answers worse" in finding.sentence
    assert "another length" in finding.sentence
    changed = LOG_START + timedelta(days=18)
    for alarm in finding.alarms:
        assert changed < alarm.raised_at < changed + timedelta(days=18)
        assert alarm.change.earliest_s <= changed.timestamp() + 86_400
        assert alarm.change.latest_s >= changed.timestamp() - 86_400


def test_predictions_that_were_never_right_blame_the_predictions_and_not_the_model() -> None:
    rows = [
        replace(row, predicted_quality=min(row.predicted_quality + 0.2, 1.0))
        for row in drifting_rows(np.random.default_rng(12))
    ]
    found = findings(watched(rows))
    assert {finding.cause for finding in found} == {"predictions"}
    assert "than predicted" in found[0].sentence


def test_longer_answers_alone_are_told_without_any_label() -> None:
    monitor = watched(drifting_rows(np.random.default_rng(1), longer=2.0, labelled=False))
    (finding,) = findings(monitor)
    assert (finding.cause, finding.model) == ("provider", "model-0")
    assert "send labels" in finding.advice


def test_a_model_that_got_better_is_none_to_be_taken_out() -> None:
    (finding,) = findings(watched(drifting_rows(np.random.default_rng(2), drop=-0.3)))
    assert finding.cause == "better"


def test_when_most_models_fall_together_the_labels_are_suspected() -> None:
    found = findings(watched(drifting_rows(np.random.default_rng(3), drop=0.4, models=3, dropped=3)))
    assert found[0].cause == "labels"
    assert "3 models" in found[0].sentence


def test_a_restart_in_the_middle_changes_nothing() -> None:
    rows = list(drifting_rows(np.random.default_rng(4), drop=0.4, days=30))
    straight = watched(rows)
    restarted = watched(rows[:1_500])
    restarted = DriftMonitor.from_state(json.loads(json.dumps(restarted.state())))
    for row in rows[1_500:]:
        restarted.update(row)
    assert restarted.state() == straight.state()
    assert straight.alarms


def test_a_clock_that_runs_backwards_spends_nothing_twice() -> None:
    rows = list(drifting_rows(np.random.default_rng(5), days=10))
    skewed = [replace(row, at=row.at - timedelta(days=300)) if i % 10 == 0 and i else row for i, row in enumerate(rows)]
    monitor = watched(skewed)
    assert monitor.last_at == rows[-1].at
    assert monitor.expected_false_alarms() == pytest.approx(10 / 30.44, rel=0.01)


def test_the_stakes_of_all_streams_sum_to_no_more_than_the_budget(monkeypatch) -> None:
    stakes = []
    monkeypatch.setattr(EDetector, "update", lambda self, factors, budget: stakes.append(budget))
    monitor = watched(drifting_rows(np.random.default_rng(6), days=30), MonitorConfig(false_alarms_per_month=2.0))
    assert 0.95 * monitor.expected_false_alarms() < sum(stakes) <= monitor.expected_false_alarms()


def test_streams_of_a_policy_that_decides_no_more_are_forgotten() -> None:
    old = list(drifting_rows(np.random.default_rng(7), days=5))
    new = [
        replace(row, at=row.at + timedelta(days=5), policy="v2")
        for row in drifting_rows(np.random.default_rng(8), days=20)
    ]
    policies = {key.policy for key, _ in watched(old + new).streams()}
    assert policies == {"", "v2"}


def test_a_damaged_state_and_impossible_settings_are_refused() -> None:
    state = watched(drifting_rows(np.random.default_rng(9), days=1)).state()
    with pytest.raises(DataError, match="of this version"):
        DriftMonitor.from_state(state | {"format": 99})
    del state["streams"][0]["detector"]["evidence"]
    with pytest.raises(DataError, match="damaged"):
        DriftMonitor.from_state(state)
    with pytest.raises(SettingsError, match="false_alarms_per_month"):
        MonitorConfig(false_alarms_per_month=0.0)
    with pytest.raises(SettingsError, match="tolerance"):
        MonitorConfig(tolerance=1.0)
