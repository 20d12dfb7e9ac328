"""What every detector keeps: it goes off on a change and not before, and a restart changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beast_ml.errors import SettingsError
from beast_ml.operations.drift.amounts import AmountDetector
from beast_ml.operations.drift.calibration import CalibrationDetector
from beast_ml.operations.drift.detector import Observation
from beast_ml.operations.drift.mix import MixDetector
from beast_ml.operations.drift.signals import DETECTORS

BUDGET = 1e-5


def amounts(rng, n, changed):
    return [Observation(float(i), float(rng.normal(0.6 if changed(i) else 0.4, 0.1)), BUDGET) for i in range(n)]


def outcomes(rng, n, changed):
    return [
        Observation(float(i), float(rng.random() < (0.5 if changed(i) else 0.8)), BUDGET, expected=0.8)
        for i in range(n)
    ]


def names(rng, n, changed):
    return [
        Observation(
            float(i), str(rng.choice(list("abc"), p=[0.2, 0.2, 0.6] if changed(i) else [0.6, 0.3, 0.1])), BUDGET
        )
        for i in range(n)
    ]


CASES = [
    pytest.param(lambda: AmountDetector(0.0, 1.0), amounts, id="amounts"),
    pytest.param(CalibrationDetector, outcomes, id="calibration"),
    pytest.param(MixDetector, names, id="mix"),
]


@pytest.mark.parametrize(("make", "draw"), CASES)
def test_it_goes_off_after_the_change_and_dates_it(make, draw) -> None:
    detector = make()
    found = None
    for row in draw(np.random.default_rng(1), 1_400, lambda i: i >= 1_000):
        detector.update(row)
        if detector.drift_detected:
            found = row.at_s
            break
    assert found is not None
    assert 1_000 < found < 1_250
    change = detector.history.change()
    assert change.earliest_s <= 1_000 <= change.latest_s


@pytest.mark.parametrize(("make", "draw"), CASES)
def test_a_restart_at_any_row_changes_nothing(make, draw) -> None:
    rows = draw(np.random.default_rng(2), 700, lambda i: i >= 400)
    straight, restarted = make(), make()
    for i, row in enumerate(rows):
        straight.update(row)
        restarted.update(row)
        if i % 97 == 0:
            restarted = DETECTORS[restarted.name].from_state(json.loads(json.dumps(restarted.state())))
        assert restarted.drift_detected == straight.drift_detected
    assert restarted.state() == straight.state()


@pytest.mark.parametrize(("make", "draw"), CASES)
def test_without_a_budget_nothing_is_ever_called_drift(make, draw) -> None:
    detector = make()
    for row in draw(np.random.default_rng(3), 600, lambda i: i >= 200):
        detector.update(Observation(row.at_s, row.value, 0.0, row.expected))
        assert not detector.drift_detected


def test_a_change_of_the_spread_alone_is_found() -> None:
    rng, detector = np.random.default_rng(4), AmountDetector(0.0, 1.0)
    found = []
    for i in range(1_500):
        detector.update(Observation(float(i), float(rng.normal(0.5, 0.2 if i >= 800 else 0.05)), BUDGET))
        if detector.drift_detected:
            found.append(i)
    assert 800 < found[0] < 950


def test_predictions_that_are_off_by_less_than_the_tolerance_are_left_alone_and_by_more_are_not() -> None:
    rng = np.random.default_rng(5)
    told = {}
    for truth in (0.76, 0.65):
        detector = CalibrationDetector(tolerance=0.05)
        told[truth] = 0
        for i in range(6_000):
            detector.update(Observation(float(i), float(rng.random() < truth), BUDGET, expected=0.8))
            told[truth] += detector.drift_detected
    assert told[0.76] == 0
    assert told[0.65] > 1  # again and again, as long as it lasts


def test_what_was_not_predicted_says_nothing_of_calibration() -> None:
    detector = CalibrationDetector()
    for i in range(100):
        detector.update(Observation(float(i), 0.0, 1.0))
    assert not detector.drift_detected
    assert len(detector.history) == 0


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"`tolerance` == 1\.5"):
        CalibrationDetector(1.5)
    with pytest.raises(SettingsError, match="must not be empty"):
        AmountDetector(1.0, 1.0)
