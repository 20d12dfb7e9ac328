"""False alarms are no more than the stated rate allows, and a change is dated where its interval says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from beast_ml.operations.drift.amounts import AmountDetector
from beast_ml.operations.drift.calibration import CalibrationDetector
from beast_ml.operations.drift.detector import Observation
from beast_ml.operations.drift.mix import MixDetector

ROWS, RUNS, ALLOWED = 1_000, 60, 0.3


def binary_at_the_edge(rng):
    return float(rng.random() < 0.75), 0.8  # as far off as the tolerance allows


def skewed(rng):
    return float(np.exp(rng.normal()) / 50.0), None


def with_ties(rng):
    return float(rng.integers(3)) / 3.0, None


def named(rng):
    return str(rng.integers(4) ** 2), None


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: CalibrationDetector(0.05), binary_at_the_edge),
        (lambda: AmountDetector(0.0, 1.0), skewed),
        (lambda: AmountDetector(0.0, 1.0), with_ties),
        (MixDetector, named),
    ],
)
def test_false_alarms_are_no_more_than_the_budget(make, draw) -> None:
    alarms = 0
    for run in range(RUNS):
        rng, detector = np.random.default_rng([21, run]), make()
        for i in range(ROWS):
            value, expected = draw(rng)
            detector.update(Observation(float(i), value, ALLOWED / ROWS, expected))
            alarms += detector.drift_detected
    assert stats.poisson.sf(alarms - 1, ALLOWED * RUNS) > 1e-3
    assert alarms > 0  # and the budget is not so far off that it means nothing


def test_the_start_lies_in_its_interval_when_the_alarm_goes_off() -> None:
    held = seen = 0
    for run in range(80):
        rng, detector = np.random.default_rng([22, run]), AmountDetector(-1.0, 1.0)
        start = int(rng.integers(300, 700))
        for i in range(1_000):
            right = rng.random() < (0.5 if i >= start else 0.85)
            detector.update(Observation(float(i), float(right), 1e-4))
            if detector.drift_detected and i >= start:
                change = detector.history.change()
                seen += 1
                held += change.earliest_s <= start <= change.latest_s
                break
    assert seen > 70
    assert stats.binomtest(held, seen, 0.93, alternative="less").pvalue > 1e-3
