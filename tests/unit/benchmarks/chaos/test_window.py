import math

import pytest

from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.traffic import TIGHT, Ask, Reply
from beast_ml.benchmarks.chaos.uptime import ALLOWED_MIN, uptime
from beast_ml.benchmarks.chaos.window import FaultRow, Window, longest_gap, recovery, row_of
from beast_ml.benchmarks.serving.load_plan import CLOSED, Answered


def at(due, took=0.1, status=200, tenant="acme"):
    return Reply(Ask(tenant, "?"), Answered(0, due, due + took, status), "r", 1, "?", "miss", "")


WINDOW = Window("a fault", 10.0, 14.0, 20.0)


def test_a_row_counts_what_was_due_in_its_window():
    replies = [
        at(9.0, status=500),
        at(10.0),
        at(11.0, status=503),
        at(12.0, status=402, tenant=TIGHT),
        at(15.0),
        at(20.0),
    ]
    row = row_of([WINDOW], replies)
    assert (row.requests, row.answered, row.over_budget) == (4, 2, 1)
    assert row.failed == {"503": 1}
    assert row.share_while == pytest.approx(2 / 3)


def test_recovery_is_until_the_last_failure_after_the_mending():
    assert recovery(WINDOW, [at(12.0, status=503)]) == 0.0
    assert recovery(WINDOW, [at(12.0), at(16.5, status=CLOSED), at(17.0)]) == pytest.approx(2.5)


def test_the_gap_is_between_answers_and_counts_those_that_came_late():
    replies = [at(10.0), at(11.0, took=6.0), at(17.5, took=0.5), at(12.0, status=503)]
    assert longest_gap(WINDOW, replies) == pytest.approx(17.0 - 10.1)
    assert longest_gap(WINDOW, []) == pytest.approx(10.0)


def test_of_a_fault_staged_twice_counts_are_sums_and_times_the_longest():
    windows = [WINDOW, Window("a fault", 30.0, 31.0, 40.0, ("lost",))]
    row = row_of(windows, [at(11.0), at(15.0, status=500), at(35.0, status=500), at(36.0)])
    assert (row.times, row.requests, row.answered) == (2, 4, 2)
    assert row.recovery_s == pytest.approx(4.0)
    assert row.wrong == ("lost",)


def fault(name, rate, part="processes"):
    return Fault(name, part, "", lambda *_: None, rate)


def row(name, **fields):
    known = {"times": 1, "requests": 100, "answered": 90, "over_budget": 0, "failed": {"503": 10}, "share_while": 0.9}
    known |= {"gap_s": 3.0, "recovery_s": 2.0, "worst_s": 1.0, "wrong": ()}
    return FaultRow(name=name, **(known | fields))


def test_a_year_is_rates_times_what_was_measured():
    faults = [
        fault("kill", Rate(60)),
        fault("outage", Rate(6, 100.0, "shared")),
        fault("429", Rate(1, 600.0), "provider"),
    ]
    found = uptime(faults, [row("kill"), row("outage"), row("429")])
    kill, outage = found.rows
    assert kill.one_host_min == pytest.approx(60 * 3.0 / 60)  # the gap, which is longer than the recovery
    # A third of the requests, until it is noticed; three hosts meet it three times as often.
    assert kill.three_hosts_min == pytest.approx(3 * 60 * 2.0 / 3 / 60)
    assert outage.one_host_min == outage.three_hosts_min == pytest.approx(6 * (100 + 2) / 60)
    assert [each.name for each in found.providers] == ["429"]
    assert found.one_host_min == pytest.approx(kill.one_host_min + outage.one_host_min)
    assert math.isclose(ALLOWED_MIN, 52.6, abs_tol=0.05)


def test_a_kill_that_nothing_failed_in_costs_nothing():
    found = uptime([fault("kill", Rate(60))], [row("kill", failed={}, recovery_s=0.0, share_while=None)])
    assert found.one_host_min == 0.0
    assert found.shares == (1.0, 1.0)
