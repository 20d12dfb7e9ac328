from __future__ import annotations

import math
from typing import Any

import pytest

from beast_ml.logs.ingest_requests import request_faults
from beast_ml.logs.sources.raw_rows import RawRow
from beast_ml.logs.sources.request_chunks import chunk_from_rows
from beast_ml.testing.log_rows import cached_request, routed_request

EXTERNAL = {"policy_version": "external:litellm", "propensity": None}


def reason(row: dict[str, Any]) -> str | None:
    chunk = chunk_from_rows("log", [RawRow(1, 1, row)], lambda raw: raw)
    return (request_faults(chunk.table) | chunk.faults).get(0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request_id": None}, "request_id is missing"),
        ({"request_id": ""}, "request_id is empty"),
        ({"request_id": "a\nb"}, "request_id holds control characters"),
        ({"request_id": "x" * 600}, "request_id is longer than 512 characters"),
        ({"tenant_id": " "}, "tenant_id is empty"),
        ({"received_at": None}, "received_at is missing"),
        ({"received_at": "yesterday"}, "received_at is not a time"),
        ({"received_at": 1e300}, "received_at is not a time"),
        ({"candidates": None}, "candidates is missing"),
        ({"candidates": "small"}, "candidates is not a list of text"),
        ({"candidates": ["small", ""]}, "candidates hold an empty name"),
        ({"candidates": ["large"]}, "chosen_model is not among the candidates"),
        ({"candidates": []}, "chosen_model is not among the candidates"),
        ({"context": "no map"}, "context is not a map of text"),
        ({"context": {"a": [1]}}, "context is not a map of text"),
        ({"attempts": [{"model": "small"}]}, "attempts is not a list of attempts"),
        ({"attempts": ["small"]}, "attempts is not a list of attempts"),
        ({"attempts": 3}, "attempts is not a list of attempts"),
        ({"status": "fine"}, "status is none of ok, error, timeout, rejected, cancelled"),
        ({"status": None}, "status is missing"),
        ({"cache_result": "hit"}, "cache_result is none of miss, exact, semantic, bypass"),
        ({"quality_source": "me"}, "quality_source is none of judge, user, test, heuristic"),
        ({"propensity": 0.0}, "propensity is outside (0, 1]"),
        ({"propensity": 1.1}, "propensity is outside (0, 1]"),
        ({"propensity": math.nan}, "propensity is NaN"),
        ({"propensity": None}, "propensity is missing, yet a model was chosen"),
        ({"chosen_model": None, "propensity": None}, "chosen_model is missing, yet the request was answered"),
        ({"chosen_model": None, "status": "rejected"}, "propensity is given, yet no model was chosen"),
        ({"served_model": None}, "served_model is missing, yet the request was answered"),
        ({"cache_result": "exact"}, "a cache hit has a chosen_model"),
        ({"status": "rejected"}, "a rejected request has a chosen_model"),
        ({"cost_usd": -1}, "cost_usd is negative"),
        ({"cost_usd": math.inf}, "cost_usd is infinite"),
        ({"output_tokens": 2.5}, "output_tokens is not a whole number"),
        ({"output_tokens": 2**63}, "output_tokens is not a whole number"),
        ({"output_tokens": -2}, "output_tokens is negative"),
        ({"quality": 2}, "quality is outside 0..1"),
        ({"predicted_cost_usd": math.inf}, "predicted_cost_usd is infinite"),
        ({"prompt": "x" * 10_000_001}, "prompt is longer than 10 MB"),
        ({"prompt": "\ud800"}, "prompt is not valid UTF-8"),
        ({"policy_version": "external:litellm", "propensity": 2}, "propensity is outside (0, 1]"),
    ],
)
def test_a_breach_of_the_contract_is_named(changes: dict[str, Any], expected: str) -> None:
    found = reason(routed_request(**changes))
    assert found is not None
    assert found.startswith(expected)


@pytest.mark.parametrize(
    "row",
    [
        routed_request(),
        cached_request(),
        routed_request(prompt=None),
        routed_request(prompt="x" * 2**20),
        routed_request(received_at=1772359200),
        routed_request(received_at="2026-03-01 10:00:00"),
        routed_request(context='{"task": "a", "beta": true, "gone": null}', attempts="[]", candidates='["small"]'),
        routed_request(served_model="large"),
        routed_request(status="timeout", served_model=None, error_kind="timeout", quality=None),
        routed_request(predicted_cost_usd=-1e-9),
        routed_request(**EXTERNAL),
        routed_request(input_tokens="5", output_tokens=1.0, cost_usd="0.5"),
        cached_request(cache_result="bypass", status="rejected"),
        cached_request(cache_result="miss", status="cancelled"),
    ],
)
def test_what_the_contract_allows_passes(row: dict[str, Any]) -> None:
    assert reason(row) is None
