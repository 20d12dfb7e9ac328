"""Servers, endpoints, budgets, verified hits and notices, from what servers said."""

import pytest

from beast_ml.evaluation.proportion import wilson
from beast_ml.serving.dashboard.metric_history import Series
from beast_ml.serving.dashboard.metric_traffic import metric_totals, metric_traffic
from beast_ml.serving.dashboard.notices import notices
from beast_ml.serving.dashboard.operations_now import operations_now
from beast_ml.serving.dashboard.server_watch import ServerWatch
from beast_ml.serving.dashboard.traffic import Filters

NOW_S = 1_764_072_000.0


def samples(n, endpoint=0.0):
    told = {
        ("beast_log_rows_total", ("table", "requests")): 10.0 * n,
        ("beast_errors_total", ("error_kind", "timeout")): 1.0 * n,
        ("beast_refusals_total", ("error_kind", "budget")): 5.0 * n,
        ("beast_rescued_total", ("error_kind", "rate_limit")): 2.0 * n,
        ("beast_decisions_total", ("model", "small")): 9.0 * n,
        ("beast_request_seconds_bucket", ("le", "0.1")): 5.0 * n,
        ("beast_request_seconds_bucket", ("le", "+Inf")): 10.0 * n,
        ("beast_provider_calls_total", ("endpoint", "e"), ("result", "ok")): 3.0 * n,
        ("beast_provider_calls_total", ("endpoint", "e"), ("result", "timeout")): 1.0 * n,
        ("beast_endpoint_state", ("endpoint", "e")): endpoint,
    }
    return {Series(name, labels): value for (name, *labels), value in told.items() for labels in [tuple(labels)]}


def watch(url="http://one", looks=11, **more):
    made = ServerWatch(url, None)
    for i in range(looks):
        made.history.add(NOW_S - looks + 1 + i, samples(i, **more))
    made.state = "up"
    return made


def test_rates_and_calls_of_several_servers_add_up():
    told = operations_now([watch(), watch("http://two", endpoint=2.0)], NOW_S)
    assert [each["per_s"] for each in told["servers"]] == pytest.approx([10.0, 10.0])
    assert (told["servers"][0]["failed_per_s"], told["servers"][0]["refused_per_s"]) == pytest.approx((1.0, 5.0))
    assert told["servers"][0]["latency_s"][0] == pytest.approx(0.1)
    (endpoint,) = told["endpoints"]
    assert (endpoint["breaker"], endpoint["calls"], endpoint["failure_rate"]) == ("open", 80, 0.25)


def test_a_server_that_is_away_keeps_its_last_figures():
    gone = watch()
    gone.state, gone.problem = "down", "it does not answer"
    server = operations_now([gone], NOW_S + 500)["servers"][0]
    assert server["per_s"] > 1.0
    assert server["last"] == NOW_S


def test_false_hits_have_an_interval_over_all_servers():
    made = [ServerWatch(url, None) for url in ("http://one", "http://two")]
    for each, wrong in zip(made, (1.0, 2.0), strict=True):
        verdicts = {"right": 97.0, "wrong": wrong, "unknown": 50.0}
        kind = ("kind", "semantic")
        each.history.add(
            NOW_S, {Series("beast_cache_audits_total", (kind, ("verdict", k))): v for k, v in verdicts.items()}
        )
    audit = operations_now(made, NOW_S)["cache"]["audits"]["semantic"]
    assert (audit["verified"], audit["wrong"], audit["false_hit_rate"]) == (197, 3, 3 / 197)
    assert audit["interval"] == list(wilson(3 / 197, 197))


def test_metrics_stand_in_for_the_log():
    both = [watch().history, watch("http://two").history]
    view, told = (of(both, Filters(range="5m"), NOW_S) for of in (metric_traffic, metric_totals))
    assert told["requests"] == 200
    assert (told["failed"], told["ended"], told["error_rate"]) == (20, 100, 0.2)
    assert (told["refused"], told["refused_rate"]) == (100, 0.5)
    assert [line["name"] for line in view["charts"]["refused"]["lines"]] == ["budget"]
    assert told["per_s"] == pytest.approx(20.0)
    assert sum(view["charts"]["selection"]["lines"][0]["values"]) == 180
    assert view["charts"]["errors"]["lines"][0]["name"] == "timeout"
    (rescued,) = view["charts"]["rescued"]["lines"]
    assert (rescued["name"], sum(rescued["values"]), told["rescued"]) == ("rate_limit", 40, 40)


def test_metrics_of_nobody_are_nothing():
    assert metric_totals([], Filters(), NOW_S)["requests"] == 0
    assert metric_traffic([], Filters(), NOW_S)["charts"]["requests"]["lines"] == []


def server(**more):
    told = {"url": "http://one", "state": "up", "since": NOW_S, "problem": None, "last": NOW_S}
    return {**told, "away": [], "log_failures": 0, **more}


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [
        ({"state": "down", "problem": "it does not answer"}, "error", "is down since 12:00:00 UTC"),
        ({"state": "waiting", "problem": "it does not answer", "last": None}, "info", "Start it with `beast serve`"),
        ({"state": "refused", "problem": "it wants its admin key"}, "error", "admin key"),
        ({"away": ["budgets"]}, "warning", "does without budgets"),
        ({"log_failures": 3.0}, "error", "could not log 3 rows"),
    ],
)
def test_what_is_wrong_is_said(told, level, text):
    (found,) = notices([server(**told)], [], 5, ["logs"], None)
    assert found.level == level
    assert text in found.text


def test_nothing_is_said_when_all_is_well_and_an_empty_log_is_named():
    assert notices([server()], [], 5, ["logs"], None) == []
    (found,) = notices([server()], [], 0, ["data/serving", "data/logs"], None)
    assert "The log is empty" in found.text
    assert "data/serving or data/logs" in found.text
