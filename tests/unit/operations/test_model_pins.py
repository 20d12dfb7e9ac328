from datetime import timedelta

import pyarrow as pa

from beast_ml.domain.endpoint import Endpoint
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore
from beast_ml.operations.model_pins import pins_in_log, pins_of_experiments, pins_of_settings
from beast_ml.testing.experiment_logs import BEGAN, experiment_of

ENDPOINTS = [Endpoint("a-1", "a", "http://a/v1"), Endpoint("b-1", "b", "http://b/v1")]


def pins(**changed):
    given = {"name": "a", "others": ("b", "c"), "endpoints": ENDPOINTS, "judge": None}
    given |= {"has_budgets": False, "is_cheapest": False} | changed
    return [(pin.what, pin.breaks) for pin in pins_of_settings(**given)]


def test_settings_lean_on_a_model_in_ways_that_break_and_in_ways_that_do_not():
    assert pins() == [("endpoint 'a-1' serves it", False)]
    assert ("it verifies cached answers (cache.judge)", True) in pins(judge="a")
    assert ("no other candidate has an endpoint", True) in pins(others=("c",))
    assert pins(endpoints=[], others=("c",)) == []  # nothing is called from here, so nothing is missing
    assert len(pins(has_budgets=True, is_cheapest=True)) == len(pins(has_budgets=True)) + 1


def test_running_experiments_are_named():
    running, stopped = experiment_of(status="running"), experiment_of(status="stopped")
    (pin,) = pins_of_experiments(Experiments((running,)))
    assert pin.breaks
    assert "beast experiment stop trial" in pin.advice
    assert pins_of_experiments(Experiments((stopped,))) == []


def test_the_log_tells_who_named_it_and_whom_it_stepped_in_for(tmp_path):
    store = LogStore(tmp_path)
    assert pins_in_log("it's", store, 7) == []
    plain = dict.fromkeys(REQUEST_SCHEMA.names) | {
        "tenant_id": "acme", "candidates": ["it's", "b"], "cache_result": "miss", "status": "ok", "propensity": 0.5,
        "policy_version": "v1",
        "chosen_model": "it's", "served_model": "it's",
    }  # fmt: skip
    changes = [
        {},
        {"propensity": None},
        {"candidates": ["it's"], "propensity": 1.0, "policy_version": None, "tenant_id": "other"},
        {"chosen_model": "b"},
        {"propensity": None, "received_at": BEGAN - timedelta(days=8)},  # long ago
    ]
    rows = [
        plain | {"request_id": f"r{i}", "received_at": BEGAN + timedelta(minutes=i)} | change
        for i, change in enumerate(changes)
    ]
    store.append_requests(pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA))
    named, rescued = pins_in_log("it's", store, 7)
    assert named.what == "2 requests of 2 tenants named it themselves in 7 days"
    assert named.breaks
    assert rescued.what == "it stepped in for another model 1 times in 7 days"
    assert not rescued.breaks
    assert pins_in_log("nobody", store, 7) == []


def test_the_only_candidate_that_is_left_is_not_one_that_a_client_named(tmp_path):
    store = LogStore(tmp_path)
    left = dict.fromkeys(REQUEST_SCHEMA.names) | {
        "tenant_id": "acme", "candidates": ["a"], "propensity": 1.0, "policy_version": "v1", "status": "ok",
        "chosen_model": "a", "served_model": "a", "context": {},
    }  # fmt: skip
    rows = [left | {"request_id": f"r{i}", "received_at": BEGAN + timedelta(minutes=i)} for i in range(3)]
    store.append_requests(pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA))
    (pin,) = pins_in_log("a", store, 7)
    assert pin.what.startswith("no other candidate was left to 3 requests in 7 days")
    assert not pin.breaks
    asked = rows[0] | {"request_id": "asked", "context": {"asked_for": "a"}}
    store.append_requests(pa.Table.from_pylist([asked], schema=REQUEST_SCHEMA))
    named, _ = pins_in_log("a", store, 7)
    assert (named.what, named.breaks) == ("1 requests of 1 tenants named it themselves in 7 days", True)
