from datetime import timedelta

import pytest

from beast_ml.errors import DataError
from beast_ml.logs.store import LogStore
from beast_ml.operations.uptime import uptime_report
from beast_ml.testing.failing_logs import LOG_END, LOG_START, failing_log

SINCE = LOG_START + timedelta(days=1)
OUTAGE = (LOG_START + timedelta(days=3), LOG_START + timedelta(days=3, hours=6))


def outage(row, rng):
    if row["endpoint"] == "large-eu" and OUTAGE[0] <= row["received_at"] < OUTAGE[1]:
        row |= {"status": "timeout", "error_kind": "timeout", "served_model": None}


def too_long(row, rng):
    if row["endpoint"] == "small-eu" and row["status"] == "ok" and rng.random() < 0.1:
        row |= {"status": "error", "error_kind": "context_length", "served_model": None}


def by_name(report):
    return {(row.model, row.endpoint): row for row in report.rows}


def test_an_outage_is_one_incident_of_its_endpoint_and_counts_as_time_that_it_was_down(tmp_path):
    report = uptime_report(failing_log(tmp_path, outage, n=16_000, rate=0.0), SINCE)
    rows = by_name(report)
    assert list(rows) == [
        ("large", ""), ("large", "large-eu"), ("large", "large-us"), ("small", ""), ("small", "small-eu"),
    ]  # fmt: skip
    found = rows["large", "large-eu"]
    (incident,) = found.incidents
    assert abs(incident.started_at - OUTAGE[0]) < timedelta(hours=1)
    assert abs(incident.ended_at - OUTAGE[1]) < timedelta(hours=1)
    assert incident.error_kind == "timeout"
    assert incident.is_over
    assert incident.n_failed == found.errors["timeout"]
    assert found.uptime == pytest.approx(1 - 6 / (7 * 24), abs=0.01)
    for other in ("large-us", "small-eu"):
        row = rows[("large" if "large" in other else "small"), other]
        assert row.incidents == ()
        assert (row.availability, row.high, row.uptime) == (1.0, 1.0, 1.0)
        assert 0.99 < row.low < 1.0
    # Failures in one burst say less than as many apart.
    width = found.high - found.low
    n, p = found.n_calls, found.availability
    assert width > 1.5 * 2 * 1.96 * (p * (1 - p) / n) ** 0.5


def test_what_an_endpoint_was_right_to_refuse_is_an_answer(tmp_path):
    rows = by_name(uptime_report(failing_log(tmp_path, too_long, rate=0.0), SINCE))
    assert rows["small", ""].availability == 1.0
    assert rows["small", ""].errors["context_length"] > 100


def test_failures_count_by_whatever_name_a_log_has_for_them(tmp_path):
    def elsewhere(row, rng):
        if row["endpoint"] == "small-eu" and rng.random() < 0.1:
            kind = ("server_error", "connection", "rate_limited")[int(rng.integers(3))]
            row |= {"status": "error", "error_kind": kind, "served_model": None}

    row = by_name(uptime_report(failing_log(tmp_path, elsewhere, n=2_000, rate=0.0), SINCE))["small", ""]
    assert row.availability == pytest.approx(1.0 - sum(row.errors.values()) / row.n_calls)
    assert set(row.errors) == {"server_error", "connection", "rate_limited"}


def test_an_endpoint_that_was_hardly_called_is_not_said_to_have_been_up(tmp_path):
    def hardly_called(row, rng):
        if row["endpoint"] == "large-us":
            row |= {"endpoint": "large-eu", "region": "eu"}
            if not called and row["received_at"] > SINCE:
                called.add(row["request_id"])
                row |= {"endpoint": "large-us", "status": "error", "error_kind": "provider", "served_model": None}

    called: set[str] = set()
    rows = by_name(uptime_report(failing_log(tmp_path, hardly_called, n=2_000, rate=0.0), SINCE))
    row = rows["large", "large-us"]
    assert (row.n_calls, row.availability, row.uptime, row.incidents) == (1, 0.0, None, ())
    assert row.high > 0.7  # one call says next to nothing
    assert rows["large", "large-eu"].uptime == rows["large", ""].uptime == 1.0


def test_one_that_lasts_has_no_end(tmp_path):
    def down(row, rng):
        if row["chosen_model"] == "small" and row["received_at"] > LOG_END - timedelta(days=1):
            row |= {"status": "error", "error_kind": "provider", "served_model": None}

    (incident,) = by_name(uptime_report(failing_log(tmp_path, down, rate=0.0), SINCE))["small", ""].incidents
    assert not incident.is_over


def test_an_empty_store_is_said_to_be(tmp_path):
    with pytest.raises(DataError, match="holds no log"):
        uptime_report(LogStore(tmp_path))
