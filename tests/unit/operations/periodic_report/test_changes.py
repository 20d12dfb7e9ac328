from datetime import date, timedelta

import numpy as np
import pytest
from scipy.stats import binom

from beast_ml.logs.store import LogStore
from beast_ml.operations.periodic_report.changes import MEASURES, Change, _change, compare_periods, read_days
from beast_ml.operations.periodic_report.period import Period
from beast_ml.testing.costly_logs import COSTLY_START, costly_log, costly_rows

SECOND = Period.ending("week", (COSTLY_START + timedelta(days=13)).date())


def worse(row) -> None:
    """From the second week on all is slower and dearer, and a third fails."""
    if row["received_at"] >= SECOND.since:
        row["latency_s"] *= 2.0
        if row["cost_usd"]:
            row["cost_usd"] *= 3.0
        if row["served_model"] is not None and int(row["request_id"][1:]) % 3 == 0:
            row |= {
                "status": "error",
                "error_kind": "provider",
                "served_model": None,
                "cost_usd": None,
                "quality": None,
            }
            row |= {"quality_source": None, "feedback_at": None}


def over_budget(row) -> None:
    """From the second week on a budget refuses every third request."""
    if row["received_at"] >= SECOND.since and int(row["request_id"][1:]) % 3 == 0:
        row |= {"status": "rejected", "error_kind": "budget", "chosen_model": None, "propensity": None}
        row |= {"served_model": None, "cost_usd": None, "latency_s": None, "quality": None, "cache_result": None}
        row |= {"quality_source": None, "feedback_at": None}


def by_name(changes) -> dict[str, Change]:
    return {each.measure.name: each for each in changes}


def test_what_was_made_worse_is_found_so(tmp_path) -> None:
    found = by_name(compare_periods(costly_log(tmp_path / "s", change=worse), SECOND))
    for name in ("cost a request, USD", "mean latency, s", "95th percentile of latency, s", "share that failed"):
        assert found[name].verdict == "up, worse", name
        assert found[name].low <= found[name].difference <= found[name].high
    assert found["mean latency, s"].now / found["mean latency, s"].before == pytest.approx(2.0, rel=0.15)
    assert found["share answered by the cache"].verdict == "no sure change"


def test_values_are_those_of_the_rows(tmp_path) -> None:
    found = by_name(compare_periods(costly_log(tmp_path / "s"), SECOND))
    rows = [row for row in costly_rows() if row["received_at"] >= SECOND.since]
    costs = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    assert found["requests a day"].now == len(rows) / 7
    assert found["cost a request, USD"].now == pytest.approx(np.mean(costs))
    assert found["share that failed"].now == sum(row["status"] != "ok" for row in rows) / len(rows)


def test_what_a_rule_refused_is_told_apart_from_what_failed(tmp_path) -> None:
    plain = by_name(compare_periods(costly_log(tmp_path / "plain"), SECOND))["share that failed"]
    found = by_name(compare_periods(costly_log(tmp_path / "s", change=over_budget), SECOND))
    assert found["share that failed"].now == pytest.approx(plain.now, abs=0.02)
    assert found["share that was refused"].now == pytest.approx(1 / 3, abs=0.02)
    assert found["share that was refused"].verdict == "up, worse"


def test_without_a_period_before_there_is_nothing_to_compare_with(tmp_path) -> None:
    first = Period.ending("week", (COSTLY_START + timedelta(days=6)).date())
    for change in compare_periods(costly_log(tmp_path / "s", 7), first):
        assert (change.before, change.difference, change.verdict) == (None, None, "nothing to compare with")
        assert change.now is not None


def test_an_empty_period_has_no_figures(tmp_path) -> None:
    changes = compare_periods(LogStore(tmp_path / "none"), SECOND)
    assert {(change.now, change.before) for change in changes} == {(None, None)}


def test_one_day_has_no_interval(tmp_path) -> None:
    store = costly_log(tmp_path / "s", 8)
    found = by_name(compare_periods(store, Period.ending("week", (COSTLY_START + timedelta(days=13)).date())))
    assert found["cost a request, USD"].verdict == "cannot be told"


def test_days_before_the_log_began_are_no_days_without_requests(tmp_path) -> None:
    store = costly_log(tmp_path / "s", 10)
    period = Period.ending("week", date(2026, 3, 4))  # the log has its last three days
    assert by_name(compare_periods(store, period))["requests a day"].now == 60
    assert sorted(read_days(store, period)) == [date(2026, 3, day) for day in (2, 3, 4)]


@pytest.mark.parametrize("name", ["requests a day", "cost a request, USD", "share that failed"])
def test_intervals_hold_the_truth_where_days_differ(name) -> None:
    """Days have rates of their own; intervals by requests alone would hold far too seldom."""
    measure = next(each for each in MEASURES if each.name == name)
    held, n = 0, 400

    def week(rng, rate: float) -> dict[str, np.ndarray]:
        requests = rng.poisson(500 * rng.gamma(20, 1 / 20, 7)).astype(float)
        of = {
            "requests": requests,
            "cost": rng.gamma(10, rate / 10, 7) * requests,
            "failed": rng.binomial(requests.astype(int), rng.beta(10 * rate, 10 * (1 - rate), 7)).astype(float),
        }
        return of | {"days": np.ones(7), "priced": requests, "ended": requests}

    true = {"requests a day": 0.0}.get(name, 0.1)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        change = _change(measure, week(rng, 0.3), week(rng, 0.2))
        held += change.low <= true <= change.high
    assert binom.ppf(0.0005, n, 0.93) <= held
