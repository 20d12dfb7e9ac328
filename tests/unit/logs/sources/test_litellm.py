from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.logs.ingest import IngestSummary, ingest
from beast_ml.logs.sources.external import UnusableRowError
from beast_ml.logs.sources.litellm import litellm_request
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import write_json_lines

HASH = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"

SPEND: dict[str, Any] = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": HASH,
    "spend": 0.00042,
    "total_tokens": 30,
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "startTime": "2026-03-01T10:00:00.000Z",
    "endTime": "2026-03-01T10:00:02.500Z",
    "completionStartTime": "2026-03-01T10:00:00.400Z",
    "model": "gpt-4o-mini",
    "model_id": "deployment-7",
    "model_group": "cheap",
    "custom_llm_provider": "openai",
    "api_base": "https://api.openai.com",
    "user": "default_user_id",
    "metadata": json.dumps({"user_api_key": HASH, "user_api_key_alias": "bob", "status": "success"}),
    "cache_hit": "False",
    "team_id": "team-a",
    "end_user": "alice",
    "requester_ip_address": "10.0.0.1",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "response": {"choices": []},
    "session_id": "s1",
    "status": "success",
}

PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-2",
    "trace_id": "t",
    "call_type": "completion",
    "stream": False,
    "response_cost": 0.001,
    "status": "success",
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "startTime": 1772359200.0,
    "endTime": 1772359201.5,
    "completionStartTime": 1772359201.5,
    "model": "claude-3-haiku",
    "model_group": "cheap",
    "model_id": "d9",
    "custom_llm_provider": "anthropic",
    "metadata": {"user_api_key_hash": HASH, "user_api_key_team_id": "team-b", "user_api_key_user_id": "bob"},
    "cache_hit": None,
    "end_user": "",
    "messages": [{"role": "user", "content": "redacted-by-litellm"}],
    "response": "redacted-by-litellm",
    "error_str": None,
    "error_information": {"error_class": "", "error_code": ""},
    "hidden_params": {"api_base": "https://x"},
}

FAILURE = {"status": "failure", "error_information": {"error_class": "RateLimitError", "error_code": "429"}}


def run(tmp_path: Path, *rows: dict[str, Any]) -> tuple[IngestSummary, list[dict[str, Any]]]:
    store = LogStore(tmp_path / "store")
    summary = ingest([write_json_lines(tmp_path / "export.jsonl", rows)], store, tmp_path / "quarantine")
    return summary, store.requests().to_pylist(maps_as_pydicts="strict")


def test_a_spend_log_becomes_a_routed_request(tmp_path: Path) -> None:
    summary, [row] = run(tmp_path, SPEND)
    assert summary.files[0].source == "litellm"
    known = {
        "request_id": "chatcmpl-1",
        "tenant_id": "team-a",
        "user_id": "alice",
        "session_id": "s1",
        "context": {"model_group": "cheap", "provider": "openai", "turns": "1"},
        "prompt": "Why is the sky blue?",
        "input_tokens": 20,
        "candidates": ["gpt-4o-mini"],
        "chosen_model": "gpt-4o-mini",
        "propensity": None,
        "policy_version": "external:litellm",
        "endpoint": "deployment-7",
        "cache_result": "miss",
        "status": "ok",
        "served_model": "gpt-4o-mini",
        "ttft_s": 0.4,
        "latency_s": 2.5,
        "output_tokens": 10,
        "cost_usd": 0.00042,
        "quality": None,
    }
    assert {name: row[name] for name in known} == known
    assert row["received_at"].isoformat() == "2026-03-01T10:00:00+00:00"


def test_a_standard_payload_becomes_a_routed_request(tmp_path: Path) -> None:
    summary, rows = run(tmp_path, PAYLOAD, {"standard_logging_object": PAYLOAD | {"id": "wrapped"}})
    assert summary.files[0].source == "litellm"
    assert [row["request_id"] for row in rows] == ["chatcmpl-2", "wrapped"]
    known = {
        "tenant_id": "team-b",
        "user_id": "bob",
        "prompt": None,
        "chosen_model": "claude-3-haiku",
        "cache_result": None,
        "ttft_s": None,  # it did not stream
        "latency_s": 1.5,
        "cost_usd": 0.001,
    }
    assert {name: rows[0][name] for name in known} == known


def test_no_key_hash_or_address_is_stored_or_quarantined(tmp_path: Path) -> None:
    bad = SPEND | {"request_id": "", "messages": []}
    summary, _ = run(tmp_path, SPEND, bad, PAYLOAD, PAYLOAD | {"id": "x", "prompt_tokens": -1})
    assert summary.n_quarantined == 2
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "export.jsonl":
            assert HASH.encode() not in file.read_bytes()
            assert b"10.0.0.1" not in file.read_bytes()


@pytest.mark.parametrize("base", [SPEND, PAYLOAD])
def test_a_failed_call_has_no_served_model_and_keeps_its_duration_as_an_attempt(
    tmp_path: Path, base: dict[str, Any]
) -> None:
    failure = FAILURE if base is PAYLOAD else {"status": "failure", "metadata": FAILURE}
    _, [row] = run(tmp_path, base | failure)
    assert (row["status"], row["error_kind"]) == ("error", "RateLimitError")
    assert row["chosen_model"] == base["model"]
    for name in ("served_model", "latency_s", "cost_usd", "output_tokens", "ttft_s"):
        assert row[name] is None
    [attempt] = row["attempts"]
    assert attempt["error_kind"] == "RateLimitError"
    assert attempt["latency_s"] > 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"error_class": "Timeout"}, "timeout"),
        ({"error_class": "APITimeoutError"}, "timeout"),
        ({"error_class": "APIError", "error_code": "504"}, "timeout"),
        ({"error_class": "BudgetExceededError"}, "rejected"),
        ({}, "error"),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, error: dict[str, str], status: str) -> None:
    summary, [row] = run(tmp_path, PAYLOAD | {"status": "failure", "error_information": error})
    assert row["status"] == status
    assert (row["chosen_model"] is None) == (status == "rejected")
    assert summary.n_quarantined == 0


def test_a_cache_hit_chose_nothing(tmp_path: Path) -> None:
    summary, rows = run(tmp_path, SPEND | {"cache_hit": "True"}, PAYLOAD | {"cache_hit": True})
    assert summary.n_quarantined == 0
    for row in rows:
        assert (row["cache_result"], row["chosen_model"], row["served_model"]) == ("exact", None, None)


def test_other_calls_than_text_generations_are_set_apart(tmp_path: Path) -> None:
    summary, rows = run(tmp_path, SPEND, SPEND | {"request_id": "e", "call_type": "aembedding"})
    assert len(rows) == 1
    assert summary.quarantined == {"call type aembedding is not a text generation": 1}


def test_the_prompt_may_lie_in_the_proxy_request(tmp_path: Path) -> None:
    asked = json.dumps({"model": "x", "messages": [{"role": "user", "content": "Hidden?"}]})
    _, [row] = run(tmp_path, SPEND | {"messages": "{}", "proxy_server_request": asked})
    assert row["prompt"] == "Hidden?"


def test_a_csv_export_of_the_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    names = ["request_id", "spend", "startTime", "endTime", "model", "prompt_tokens", "completion_tokens", "messages"]
    path.write_text(
        ",".join(names) + '\nr1,0.5,2026-03-01 10:00:00,2026-03-01 10:00:01,m,3,4,"[{""content"": ""Why?""}]"\n'
        "r2,free,2026-03-01 10:00:00,never,m,3,4,{}\n",
        "utf-8",
    )
    store = LogStore(tmp_path / "store")
    summary = ingest([path], store, tmp_path / "quarantine")
    assert summary.quarantined == {"cost_usd is not a number": 1}
    [row] = store.requests(["cost_usd", "prompt", "latency_s"]).to_pylist()
    assert row == {"cost_usd": 0.5, "prompt": "Why?", "latency_s": 1.0}


def test_a_parquet_export_of_the_table_is_read(tmp_path: Path) -> None:
    rows = [SPEND, SPEND | {"request_id": "r2", "endTime": "not a time"}]
    frame = pd.DataFrame(rows).assign(messages='[{"role": "user", "content": "Why?"}]', response="{}")
    frame.to_parquet(tmp_path / "spend.parquet")
    store = LogStore(tmp_path / "store")
    summary = ingest([tmp_path / "spend.parquet"], store, tmp_path / "quarantine")
    assert (summary.files[0].source, summary.n_accepted) == ("litellm", 2)
    assert store.requests(["prompt", "latency_s"])["latency_s"].to_pylist() == [2.5, None]
    whole = (tmp_path / "spend.parquet").read_bytes()
    (tmp_path / "spend.parquet").write_bytes(whole[:20] + bytes(300) + whole[320:])
    with pytest.raises(DataError, match="truncated or damaged"):
        ingest([tmp_path / "spend.parquet"], store, tmp_path / "quarantine", "litellm")


def test_a_row_of_neither_kind_is_unusable() -> None:
    with pytest.raises(UnusableRowError, match="neither a LiteLLM spend log"):
        litellm_request({"a": 1})
