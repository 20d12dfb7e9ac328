"""Figures of a window equal what the rows say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain import Price
from beast_ml.serving.dashboard.drill import requests_behind
from beast_ml.serving.dashboard.log_lines import AttemptLine
from beast_ml.serving.dashboard.request_table import RequestTable
from beast_ml.serving.dashboard.savings_now import savings_now
from beast_ml.serving.dashboard.traffic import RANGES, Filters, bucket_edges, totals, traffic

PRICES = {"small": Price(1.0, 1.0), "large": Price(10.0, 10.0)}


@given(st.sampled_from(list(RANGES)), st.floats(1e9, 2e9))
def test_buckets_cover_the_window_up_to_now(name, now_s):
    starts, width = bucket_edges(RANGES[name], now_s)
    assert starts[-1] <= now_s < starts[-1] + width * (1 + 1e-6)
    np.testing.assert_allclose(np.diff(starts), width)
    later, _ = bucket_edges(RANGES[name], now_s + width)
    assert later[-2] == pytest.approx(starts[-1])  # what is past keeps its bucket


@pytest.fixture
def mixed(table, line, feedback):
    """Return a hundred requests of a hundred seconds: each fifth failed, each tenth hit the cache."""
    lines = []
    for i in range(100):
        more = {"tenant_id": "acme" if i % 2 else "rival", "request_kind": "code" if i < 50 else "maths"}
        if i % 10 == 0:
            more |= {"cache_result": "exact", "cache_tier": "memory", "cost_usd": 0.0, "chosen_model": None}
        elif i % 5 == 0:
            more |= {"status": "error", "error_kind": "timeout", "served_model": None, "cache_result": "miss"}
        else:
            more |= {"cache_result": "miss", "latency_s": i / 100, "cost_usd": 0.01}
        lines.append(line(i, float(i), **more))
    table.add([*lines, feedback(1, 0.5), feedback(2, 1.0)])
    return table


def view_of(table, start, after_s=100.0, **filters):
    asked, now_s = Filters(range="5m", **filters), start.timestamp() + after_s
    return traffic(table, asked, PRICES, now_s) | {"totals": totals(table, asked, now_s)}


def test_totals_are_those_of_the_rows(mixed, start):
    totals = view_of(mixed, start)["totals"]
    known = [i / 100 for i in range(100) if i % 5]
    assert totals["requests"] == 100
    assert totals["latency_s"] == pytest.approx(np.quantile(known, (0.5, 0.95, 0.99)).tolist())
    assert (totals["failed"], totals["error_rate"]) == (10, 0.1)
    assert (totals["hits"], totals["lookups"], totals["hit_rate"]) == (10, 100, 0.1)
    assert totals["cost_usd"] == pytest.approx(0.8)
    assert (totals["labelled"], totals["quality"]) == (2, 0.75)
    assert totals["per_s"] == pytest.approx(0.9)  # of the ten seconds that end now


def test_charts_add_up_to_the_totals(mixed, start):
    view = view_of(mixed, start)
    charts = view["charts"]

    def total(name):
        return sum(value for line in charts[name]["lines"] for value in line["values"])

    per_bucket = [sum(line["values"][i] for line in charts["requests"]["lines"]) for i in range(60)]
    seconds = [*[view["width"]] * 59, 1.0]
    assert sum(rate * width for rate, width in zip(per_bucket, seconds, strict=True)) == pytest.approx(100)
    assert total("errors") == view["totals"]["failed"]
    assert total("cache") == view["totals"]["lookups"]
    assert total("cost") == pytest.approx(view["totals"]["cost_usd"])
    assert total("selection") == 90


@pytest.mark.parametrize(
    ("filters", "n"), [({"tenant": "acme"}, 50), ({"kind": "code"}, 50), ({"model": "small"}, 100), ({"model": "x"}, 0)]
)
def test_filters_let_through_what_they_name(mixed, start, filters, n):
    view = view_of(mixed, start, **filters)
    assert view["totals"]["requests"] == n
    assert view["choices"]["tenant"] == ["acme", "rival"]  # so that another can be chosen


def test_an_empty_window_has_no_figures_and_no_error(table, start):
    view = view_of(table, start)
    assert view["totals"]["latency_s"] == [None, None, None]
    assert view["totals"]["error_rate"] is None
    assert view["models"] == []


def test_requests_without_an_outcome_are_no_failures(table, line, start):
    table.add([line(1, status="cancelled", error_kind="unreported", served_model=None, predicted_cost_usd=0.2)])
    totals = view_of(table, start)["totals"]
    assert (totals["failed"], totals["unreported"], totals["error_rate"]) == (0, 1, None)
    assert (totals["cost_usd"], totals["n_predicted"]) == (0.2, 1)


def test_what_a_rule_refused_did_not_fail_and_counts_apart(table, line, start):
    refused = {"status": "rejected", "error_kind": "budget", "chosen_model": None, "served_model": None}
    failed = {"status": "timeout", "error_kind": "timeout", "served_model": None}
    gone = {"status": "cancelled", "served_model": None}
    table.add([*(line(i, **refused) for i in range(6)), line(6, **failed), line(7, **gone), line(8), line(9)])
    view = view_of(table, start)
    told = view["totals"]
    assert (told["failed"], told["ended"], told["error_rate"]) == (1, 3, pytest.approx(1 / 3))  # as in the scorecard
    assert (told["refused"], told["refused_rate"]) == (6, 0.6)

    def shown(chart):
        return {each["name"]: sum(each["values"]) for each in view["charts"][chart]["lines"]}

    assert (shown("errors"), shown("refused")) == ({"timeout": 1}, {"budget": 6})
    assert {name: round(value * view["width"]) for name, value in shown("requests").items()} == {
        "answered or routed": 3,
        "from the cache": 0,
        "failed": 1,
        "refused": 6,
    }
    at = start.timestamp()
    assert requests_behind(table, Filters(), "refused", at, at + 5)["n"] == 6
    assert requests_behind(table, Filters(), "errors", at, at + 5)["n"] == 1
    (model,) = view["models"]
    assert (model["chosen"], model["failure_rate"]) == (4, pytest.approx(1 / 3))


def test_deciding_is_charted_where_no_latency_is_known(table, line, start):
    table.add([line(1, 50.0, decision_us=200.0)])
    chart = view_of(table, start)["charts"]["latency"]
    assert chart["unit"] == "s to decide"
    assert [value for value in chart["lines"][0]["values"] if value is not None] == [pytest.approx(2e-4)]


def test_models_stand_side_by_side_and_a_fallback_is_the_chosen_ones_failure(table, line, start):
    table.add([line(1, chosen_model="large", served_model="small"), line(2), line(3, chosen_model="large")])
    models = {each["model"]: each for each in view_of(table, start)["models"]}
    assert (models["large"]["chosen"], models["large"]["served"], models["large"]["failure_rate"]) == (2, 0, 1.0)
    assert (models["small"]["chosen"], models["small"]["served"], models["small"]["failure_rate"]) == (1, 3, 0.0)


def test_what_a_second_call_answered_is_no_failure_but_shown_by_why_the_first_failed(table, line, start):
    slow, limited, fine = AttemptLine("timeout", "timeout"), AttemptLine("error", "rate_limit"), AttemptLine("ok")
    table.add(
        [
            line(1, attempts=(limited, fine)),
            line(2, attempts=(slow, limited, fine)),
            line(3, attempts=(slow, slow), status="timeout", error_kind="timeout", served_model=None),
            line(4, attempts=(slow,), status="cancelled", error_kind="client_gone", served_model=None),
            line(5, chosen_model="large"),  # a client says who answered, and no more
            line(6, attempts=(fine,)),
            line(7, attempts=(AttemptLine("cancelled"), fine)),  # given up for a quicker one
        ]
    )
    view = view_of(table, start)

    def shown(chart):
        return {each["name"]: sum(each["values"]) for each in view["charts"][chart]["lines"]}

    assert shown("errors") == {"timeout": 1}
    assert shown("rescued") == {"rate_limit": 1, "timeout": 1, "kind not told": 1}
    assert view["totals"]["rescued"] == 3
    behind = requests_behind(table, Filters(), "rescued", start.timestamp(), start.timestamp() + 1)
    assert {row["request_id"]: row["failed_first"] for row in behind["rows"]} == {
        "r1": "rate_limit",
        "r2": "timeout",
        "r5": None,
    }


def test_many_names_are_gathered_under_others(table, line, start):
    table.add([line(i, status="error", error_kind=f"kind{i % 9}") for i in range(100)])
    lines = view_of(table, start)["charts"]["errors"]["lines"]
    assert len(lines) == 6
    assert lines[-1]["name"] == "others"
    assert sum(sum(each["values"]) for each in lines) == 100


def test_variants_of_an_experiment_have_figures_of_their_own(table, line, feedback, start):
    drawn = [line(i, experiment_id="e", variant="control" if i % 2 else "b", cost_usd=float(i % 2)) for i in range(10)]
    table.add([*drawn, feedback(1, 1.0), line(99)])
    variants = {each["variant"]: each for each in view_of(table, start)["variants"]}
    assert {name: each["requests"] for name, each in variants.items()} == {"b": 5, "control": 5}
    assert (variants["control"]["quality"], variants["control"]["cost_usd"], variants["b"]["labelled"]) == (1.0, 1.0, 0)


def answered(line, i, model, tokens, **more):
    cost = PRICES[model].cost_usd(tokens, tokens)
    names = {"chosen_model": model, "served_model": model}
    return line(i, input_tokens=tokens, output_tokens=tokens, cost_usd=cost, **names, **more)


def test_savings_are_those_of_the_same_tokens_at_the_other_price(table, line):
    table.add([answered(line, i, "large" if i % 4 == 0 else "small", 1000) for i in range(40)])
    found = savings_now(table.rows(0.0), PRICES)
    assert found.dearest.model == "large"
    assert found.dearest.cost_usd == pytest.approx(40 * 0.02)
    assert found.dearest.saved_usd == pytest.approx(30 * (0.02 - 0.002))
    assert (found.dearest.n_by_own, found.dearest.n_by_mean, found.dearest.n_unknown) == (40, 0, 0)
    assert found.dearest.is_told
    assert found.best is None  # nothing is known of quality


def test_a_few_requests_of_the_dearest_model_do_not_say_that_nothing_is_saved(table, line):
    table.add([line(i, chosen_model="large", served_model="large", cost_usd=1.0) for i in range(5)])
    table.add([line(5 + i) for i in range(28)])  # of which nobody told the cost
    found = savings_now(table.rows(0.0), {}).dearest
    assert (found.model, found.n_by_own, found.n_unknown) == ("large", 5, 28)
    assert not found.is_told


def test_the_best_single_model_goes_by_labels_before_predictions(table, line, feedback):
    lines = [
        answered(line, i, "large" if i % 2 else "small", 10, predicted_quality=0.9 if i % 2 else 0.1) for i in range(80)
    ]
    table.add(lines)
    assert (savings_now(table.rows(0.0), PRICES).best.model, savings_now(table.rows(0.0), PRICES).best_by) == (
        "large",
        "predictions",
    )
    table.add([feedback(i, 0.2 if i % 2 else 0.8) for i in range(80)])
    found = savings_now(table.rows(0.0), PRICES)
    assert (found.best.model, found.best_by) == ("small", "labels")


def test_without_tokens_costs_are_means_of_the_same_kind(line):
    table = RequestTable(1000)
    names = {"large": {"chosen_model": "large", "served_model": "large", "predicted_cost_usd": 0.5}}
    table.add([line(i, request_kind="code", **names["large"]) for i in range(20)])
    table.add([line(100 + i, request_kind="code", predicted_cost_usd=0.1) for i in range(20)])
    table.add([line(200 + i, request_kind="maths", predicted_cost_usd=0.1) for i in range(5)])
    found = savings_now(table.rows(0.0), {}).dearest
    assert (found.model, found.n_by_own, found.n_by_mean, found.n_unknown) == ("large", 20, 20, 5)
    assert found.saved_usd == pytest.approx(20 * 0.4)


def test_what_stepped_in_for_a_model_tells_neither_its_cost_nor_its_quality(line, feedback):
    table = RequestTable(1000)
    told = {"request_kind": "code", "chosen_model": "large"}
    table.add([line(i, served_model="large", cost_usd=1.0, **told) for i in range(20)])
    table.add([line(20 + i, served_model="small", cost_usd=0.1, **told) for i in range(30)])  # large was out
    table.add([line(50 + i, request_kind="code", cost_usd=0.1) for i in range(20)])
    table.add([feedback(i, 0.9 if i < 20 else 0.3) for i in range(70)])
    found = savings_now(table.rows(0.0), {})
    assert (found.best.model, found.best_by) == ("large", "labels")
    assert found.best.cost_usd == pytest.approx(70.0)
    assert found.best.saved_usd == pytest.approx(50 * 0.9)


def test_against_the_model_that_answered_everything_nothing_is_saved(line):
    table = RequestTable(1000)
    told = {"chosen_model": "large", "request_kind": "code"}
    table.add([line(i, served_model="large", cost_usd=0.1, **told) for i in range(20)])  # short answers, paid
    table.add([line(20 + i, served_model=None, predicted_cost_usd=2.0, **told) for i in range(20)])  # not told of yet
    table.add([line(40, request_kind="maths", cost_usd=0.1)])
    assert savings_now(table.rows(0.0), {}).dearest.saved_usd == pytest.approx(0.0)


def test_behind_a_point_are_the_requests_that_it_counts(mixed, start):
    at = start.timestamp()
    assert requests_behind(mixed, Filters(), "requests", at, at + 10)["n"] == 10
    failed = requests_behind(mixed, Filters(), "errors", at, at + 20)
    assert [row["request_id"] for row in failed["rows"]] == ["r15", "r5"]
    slowest = requests_behind(mixed, Filters(tenant="acme"), "latency", at, at + 100)["rows"]
    assert (slowest[0]["request_id"], slowest[0]["latency_s"]) == ("r99", 0.99)


def test_at_most_two_hundred_requests_are_shown_of_all_that_are_counted(table, line, start):
    table.add([line(i, i / 1000, prompt=None if i % 2 else "hello") for i in range(500)])
    found = requests_behind(table, Filters(), "requests", start.timestamp(), start.timestamp() + 1)
    assert (found["n"], len(found["rows"])) == (500, 200)
    assert {row["prompt"] for row in found["rows"]} == {None, "hello"}
