import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.benchmarks.scorecard.log_readings import (
    cost_of_a_request,
    feedback_coverage,
    imbalance_of,
    log_figures,
    log_share,
    satisfaction,
    spend_accuracy,
    worst_imbalance,
)
from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

TWO_CALLS = [
    {"model": "small", "status": "error", "error_kind": "provider", "latency_s": 0.1},
    {"model": "large", "status": "ok", "error_kind": None, "latency_s": 0.5},
]


def stored(tmp_path, rows):
    rows = [row | {"request_id": str(i)} for i, row in enumerate(rows)]
    store = LogStore(tmp_path / "store")
    found = ingest([write_json_lines(tmp_path / "log.jsonl", rows)], store, tmp_path / "quarantine")
    assert found.n_quarantined == 0
    return store


def test_counts_of_a_log_are_told_as_shares(tmp_path):
    unlabelled = {"quality": None, "quality_source": None, "feedback_at": None}
    nothing = {"served_model": None, "cost_usd": None, "output_tokens": None, **unlabelled}
    rows = [
        *[routed_request(predicted_cost_usd=0.0011)] * 4,
        *[routed_request(quality=0.5, quality_source="user")] * 2,
        routed_request(attempts=TWO_CALLS, served_model="large", **unlabelled),
        routed_request(status="error", error_kind="provider", attempts=TWO_CALLS[:1], **nothing),
        routed_request(status="cancelled", attempts=[], **nothing),
        cached_request(),
        cached_request(quality=1.0, quality_source="user", feedback_at="2026-03-02T01:00:00Z"),  # no model's answer
    ]
    figures = log_figures(stored(tmp_path, rows))
    assert log_share("failed", "ended")(figures).value == 1 / 10
    assert log_share("fallen_back", "answered")(figures).value == 1 / 7
    assert feedback_coverage(figures).value == 6 / 7
    assert satisfaction(figures).value == 2 / 3
    assert satisfaction(figures).low < 2 / 3 < satisfaction(figures).high
    assert cost_of_a_request(figures).value == pytest.approx(0.001)
    assert spend_accuracy(figures).value == pytest.approx(0.9)
    assert msgspec.to_builtins(spend_accuracy(figures))["high"] <= 1.0  # as the file of the card has it
    with pytest.raises(NotEnoughDataError, match="two endpoints"):
        worst_imbalance(figures)


def test_an_empty_log_says_what_to_do(tmp_path):
    with pytest.raises(NotEnoughDataError, match="beast logs compact"):
        log_figures(LogStore(tmp_path / "none"))


@pytest.mark.parametrize("read", [cost_of_a_request, spend_accuracy])
@pytest.mark.parametrize(("of_drill", "said"), [(True, "of a drill: .*--store"), (False, "POST /v1/outcomes")])
def test_where_nothing_has_a_cost_none_is_made_up(read, of_drill, said):
    with pytest.raises(NotEnoughDataError, match=said):
        read({"mean_cost_usd": None, "spend_accuracy": None, "of_drill": of_drill})


@pytest.mark.parametrize("read", [feedback_coverage, satisfaction])
def test_what_nobody_could_tell_of_a_drill_is_no_zero(read):
    with pytest.raises(NotEnoughDataError, match=r"of a drill: .*--store"):
        read({"labelled": 0, "answered": 10, "satisfaction": None, "of_drill": True})


def test_a_deployment_is_told_what_its_own_log_lacks(tmp_path):
    figures = log_figures(stored(tmp_path, [routed_request(quality=0.5, quality_source="judge")] * 3))
    assert cost_of_a_request(figures).value > 0
    with pytest.raises(NotEnoughDataError, match="no answer of the log has both a cost and a predicted one"):
        spend_accuracy(figures)
    with pytest.raises(NotEnoughDataError, match="no user rated an answer of the log"):
        satisfaction(figures)
    assert feedback_coverage(figures).value == 1.0


def test_the_worst_thousand_calls_of_any_model_count():
    even, uneven = ["x", "y"] * 1000, ["v"] * 200 + ["v", "w"] * 500
    assert imbalance_of(["a"] * 2000 + ["b"] * 1200, even + uneven) == 0.2
    assert imbalance_of(["a"] * 999, ["x", "y", "z"] * 333) is None
    assert imbalance_of(["a"] * 1500, ["x"] * 1500) is None


@given(st.integers(0, 1 << 32), st.integers(1000, 1100), st.integers(1, 4))
def test_imbalance_lies_between_none_and_all_on_one(seed, n_calls, n_endpoints):
    endpoints = [f"e{i}" for i in np.random.default_rng(seed).integers(0, n_endpoints, n_calls)]
    found = imbalance_of(["a"] * n_calls, endpoints)
    n = len(set(endpoints))
    assert found is None if n == 1 else 0.0 <= found <= n - 1.0
