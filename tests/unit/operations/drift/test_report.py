from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.operations.drift.advice import Finding
from beast_ml.operations.drift.monitor import DriftMonitor, MonitorConfig
from beast_ml.operations.drift.report import DriftReport

START = datetime(2026, 3, 2, tzinfo=UTC)


def report(n_alarms, expected):
    config = MonitorConfig()
    finding = Finding("provider", "large", (None,) * n_alarms, "large is another model", "look")
    monitor = DriftMonitor(config)
    return DriftReport(START, START + timedelta(days=365), 1000, 22, 500, config, expected, (finding,), monitor)


@pytest.mark.parametrize(
    ("n_alarms", "expected", "said"),
    [
        (1, 0.4, "Large is another model; one alarm (at most 0.4 false alarms"),
        (3, 0.4, "Large is another model; 3 alarms in all (at most 0.4 false alarms"),
        (2, 12.0, "so chance alone may have raised what is found)."),
    ],
)
def test_alarms_that_chance_may_give_in_so_long_a_time_are_said_to_be_so(n_alarms, expected, said):
    sentence = report(n_alarms, expected).sentence()
    assert said in sentence
    assert ("chance alone" in sentence) == (n_alarms <= expected)
