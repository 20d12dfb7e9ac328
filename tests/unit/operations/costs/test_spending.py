from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from beast_ml.domain import Price
from beast_ml.domain.money import nano_usd
from beast_ml.errors import InputError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.question import CostQuestion
from beast_ml.operations.costs.spending import read_spending
from beast_ml.testing.costly_logs import COSTLY_START, costly_log, costly_rows

ROWS = list(costly_rows())


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LogStore:
    return costly_log(tmp_path_factory.mktemp("costly") / "logs")


def nano(rows) -> int:
    return sum(nano_usd(row["cost_usd"]) for row in rows if row["cost_usd"] is not None)


KEYS = {
    "request": lambda row: row["request_id"],
    "model": lambda row: row["served_model"] or row["chosen_model"],
    "user": lambda row: row["user_id"] and f"{row['tenant_id']}/{row['user_id']}",
    "tenant": lambda row: row["tenant_id"],
    "app": lambda row: row["app"],
    "kind": lambda row: row["request_kind"],
    "day": lambda row: f"{row['received_at']:%Y-%m-%d}",
}


@pytest.mark.parametrize(
    "by", [*((name,) for name in KEYS), ("tenant", "model", "day"), ("user", "kind", "app"), ("day", "request")]
)
def test_groups_cost_to_the_nano_dollar_what_their_rows_do(store, by) -> None:
    found = read_spending(store, CostQuestion(by))
    expected: dict = {}
    for row in ROWS:
        expected.setdefault(tuple(KEYS[name](row) for name in by), []).append(row)
    told = {tuple(row[name] for name in by): row for row in found.groups.to_pylist()}
    assert set(told) == set(expected)
    for key, rows in expected.items():
        assert (told[key]["cost_nano"], told[key]["requests"]) == (nano(rows), len(rows))
    assert found.total["cost_nano"] == nano(ROWS)
    assert found.n_groups == len(expected)


def test_the_dearest_groups_come_first_and_the_total_is_still_of_all(store) -> None:
    for by in (("user",), ("request",)):
        few, all_of_them = (read_spending(store, CostQuestion(by, limit=limit)) for limit in (3, None))
        exact = [*by, "requests", "cost_nano"]  # the last digit of a float's sum depends on who adds first
        assert few.groups.select(exact).to_pylist() == all_of_them.groups.slice(0, 3).select(exact).to_pylist()
        assert few.total["cost_nano"] == all_of_them.total["cost_nano"] == nano(ROWS)
        assert few.n_groups == all_of_them.n_groups


def test_what_nobody_knows_the_cost_of_is_counted_and_not_guessed(store) -> None:
    total = read_spending(store, CostQuestion(())).total
    unknown = [
        row for row in ROWS if row["status"] == "ok" and row["cost_usd"] is None and row["cache_result"] == "miss"
    ]
    assert total["unpriced"] == len(unknown) > 0
    assert total["from_cache"] == sum(row["cache_result"] == "exact" for row in ROWS) > 0


def test_predictions_are_compared_where_both_costs_are_known(store) -> None:
    both = [row for row in ROWS if row["cost_usd"] is not None and row["predicted_cost_usd"] is not None]
    total = read_spending(store, CostQuestion(())).total
    actual, predicted = (sum(row[name] for row in both) for name in ("cost_usd", "predicted_cost_usd"))
    assert total["predicted_requests"] == len(both)
    assert total["actual_over_predicted"] == pytest.approx(actual / predicted)
    assert total["actual_over_predicted_low"] < 1.25 < total["actual_over_predicted_high"]


def test_one_tenants_question_shows_nothing_of_another(store) -> None:
    found = read_spending(store, CostQuestion(("tenant", "user", "app"), tenant="acme"))
    mine = [row for row in ROWS if row["tenant_id"] == "acme"]
    assert {row["tenant"] for row in found.groups.to_pylist()} == {"acme"}
    assert all(row["user"] is None or row["user"].startswith("acme/") for row in found.groups.to_pylist())
    assert (found.total["requests"], found.total["cost_nano"]) == (len(mine), nano(mine))


@pytest.mark.parametrize("tenant", ["acme' OR true --", "' OR ''='", "nobody"])
def test_a_tenant_that_is_none_sees_nothing(store, tenant) -> None:
    found = read_spending(store, CostQuestion(("user",), tenant=tenant))
    assert (found.total["requests"], found.groups.num_rows) == (0, 0)
    assert found.sentence() == f"No request of tenant {tenant!r} was received in that time."


def test_days_are_of_utc_whatever_zone_is_asked_in(store) -> None:
    tokyo = timezone(timedelta(hours=9))
    day = COSTLY_START + timedelta(days=3)
    here, there = (
        read_spending(
            store, CostQuestion(("day",), since=day.astimezone(zone), until=(day + timedelta(days=1)).astimezone(zone))
        )
        for zone in (UTC, tokyo)
    )
    assert here.groups.to_pylist() == there.groups.to_pylist()
    assert [row["day"] for row in here.groups.to_pylist()] == ["2026-03-05"]


def test_the_day_on_which_clocks_are_put_forward_has_24_hours(tmp_path) -> None:
    at = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # Europe's night of 2026
    rows = [
        ROWS[0] | {"request_id": f"h{hour}", "received_at": at + timedelta(hours=hour), "feedback_at": None}
        for hour in range(24)
    ]
    store = LogStore(tmp_path / "s")
    store.append_requests(pa.Table.from_pylist(rows, REQUEST_SCHEMA))
    assert [
        (row["day"], row["requests"]) for row in read_spending(store, CostQuestion(("day",))).groups.to_pylist()
    ] == [("2026-03-29", 24)]


def test_days_come_in_order_the_newest_first_and_within_a_day_the_dearest(tmp_path) -> None:
    found = read_spending(costly_log(tmp_path / "s", 5, 20), CostQuestion(("model", "day"), limit=8)).groups.to_pylist()
    days = [row["day"] for row in found]
    assert days == sorted(days, reverse=True)
    assert days[0] == "2026-03-06"
    first = [row["cost_nano"] for row in found if row["day"] == days[0]]
    assert first == sorted(first, reverse=True)


def test_other_prices_reckon_the_tokens_anew(store) -> None:
    price = Price(1.0, 3.0, usd_per_request=0.0001)
    found = read_spending(store, CostQuestion(("model",), prices={"large": price}))
    expected = 0
    for row in ROWS:
        if row["served_model"] == "large":
            expected += nano_usd(price.cost_usd(row["input_tokens"], row["output_tokens"]))
        elif row["cost_usd"] is not None:
            expected += nano_usd(row["cost_usd"])
    assert found.total["repriced_nano"] == expected
    small = next(row for row in found.groups.to_pylist() if row["model"] == "small")
    assert small["repriced_nano"] == small["cost_nano"]


def test_what_has_no_tokens_keeps_its_cost_and_is_counted(tmp_path) -> None:
    store = costly_log(tmp_path / "s", 2, change=lambda row: row.update(output_tokens=None))
    total = read_spending(store, CostQuestion((), prices={"large": Price(1.0, 1.0)})).total
    assert total["repriced_nano"] == total["cost_nano"]
    assert total["not_repriced"] > 0


def test_what_nobody_knows_the_cost_of_does_not_cost_nothing(tmp_path) -> None:
    def unpriced(row) -> None:
        if row["served_model"] == "large":
            row.update(cost_usd=None)

    store = costly_log(tmp_path / "s", 2, change=unpriced)
    large, small = (
        next(row for row in read_spending(store, CostQuestion()).groups.to_pylist() if row["model"] == model)
        for model in ("large", "small")
    )
    assert (large["cost_known"], large["usd_per_request"]) == (False, None)
    assert small["cost_known"]
    assert small["usd_per_request"] > 0
    none = costly_log(tmp_path / "none", 2, change=lambda row: row.update(cost_usd=None))
    total = read_spending(none, CostQuestion(()))
    assert total.sentence().startswith("What 120 requests cost nobody knows: none of ")
    repriced = read_spending(none, CostQuestion(("model",), prices={"large": Price(1.0, 1.0)}))
    known = {row["model"]: row["repriced_known"] for row in repriced.groups.to_pylist() if row["model"]}
    assert known == {
        "large": True,
        "small": False,
    }
    assert "At the new prices $0.0" in repriced.sentence()


def test_a_time_without_an_answer_costs_nothing_for_certain(tmp_path) -> None:
    def refused(row) -> None:
        row.update(status="rejected", cost_usd=None, served_model=None, cache_result="off", attempts=[])

    total = read_spending(costly_log(tmp_path / "s", 1, change=refused), CostQuestion(()))
    assert total.total["cost_known"]
    assert "cost $0.000000000" in total.sentence()


def test_an_empty_log_costs_nothing(tmp_path) -> None:
    found = read_spending(LogStore(tmp_path / "none"), CostQuestion(("model", "day")))
    assert (found.groups.num_rows, found.total["cost_nano"], found.n_groups) == (0, 0, 0)
    assert found.prediction_sentence() == "No request has both a predicted and an actual cost."


def test_late_costs_count_as_they_came_in_the_end(store, tmp_path) -> None:
    late = costly_log(tmp_path / "s", 1, 10, change=lambda row: row.update(cost_usd=None))
    assert read_spending(late, CostQuestion(())).total["cost_nano"] == 0
    at = COSTLY_START + timedelta(days=2)
    late.append_outcomes(
        pa.table(
            {
                "request_id": ["r000000", "r000000"],
                "observed_at": [at, at + timedelta(hours=1)],
                "cost_usd": [1.0, 0.25],
            }
        )
    )
    assert read_spending(late, CostQuestion(())).total["cost_nano"] == 250_000_000


def test_what_cannot_be_asked_is_refused(store) -> None:
    with pytest.raises(InputError, match="must be of request, model"):
        CostQuestion(("colour",))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="twice"):
        CostQuestion(("day", "day"))
    with pytest.raises(InputError, match="no time zone"):
        read_spending(store, replace(CostQuestion(), since=datetime.fromisoformat("2026-03-01")))
