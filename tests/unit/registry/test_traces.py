from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from beast_ml.registry.traces import is_sampled, record_traces
from beast_ml.testing.log_rows import cached_request, routed_request

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
FALLEN_BACK = [
    {"model": "small", "status": "error", "error_kind": "provider", "latency_s": 0.2},
    {"model": "large", "status": "ok", "error_kind": None, "latency_s": 0.3},
]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_those_of_a_smaller_one(request_id, one, other):
    low, high = sorted((one, other))
    assert is_sampled(request_id, high) or not is_sampled(request_id, low)


def test_the_share_is_kept():
    assert sum(is_sampled(f"req_{i}", 0.1) for i in range(10_000)) == pytest.approx(1000, abs=120)


def test_a_request_is_a_trace_with_its_decision_and_its_calls_and_is_written_once(config):
    rows = [
        routed_request(request_id="it's one", received_at=AT, attempts=FALLEN_BACK, served_model="large"),
        cached_request(request_id="two", received_at=AT),
        routed_request(request_id="three", received_at=AT, status="error", attempts=FALLEN_BACK[:1]),
    ]
    assert record_traces(config, rows) == 3
    assert record_traces(config, rows) == 0
    client = MlflowClient(config.uri)
    experiment = client.get_experiment_by_name(config.experiment).experiment_id
    found = {one.info.client_request_id: one for one in client.search_traces(locations=[experiment])}
    assert found.keys() == {"it's one", "two", "three"}
    spans = {span.name: span for span in found["it's one"].data.spans}
    assert spans.keys() == {"request", "decision", "small", "large"}
    assert spans["decision"].outputs["propensity"] == 0.25
    assert (spans["large"].end_time_ns - spans["small"].start_time_ns) / 1e9 == pytest.approx(0.5)
    assert found["it's one"].info.execution_duration == 500
    assert [span.name for span in found["two"].data.spans] == ["request"]
    assert {name: str(one.info.state).rpartition(".")[2] for name, one in found.items()} == {
        "it's one": "OK",
        "two": "OK",
        "three": "ERROR",
    }
