from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beast_ml.logs.ingest import IngestSummary, ingest
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import write_json_lines

BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1772359200,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"message": {"role": "assistant", "content": "Hello"}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
}
BATCH: dict[str, Any] = {
    "id": "batch_req_1",
    "custom_id": "request-1",
    "response": {"status_code": 200, "request_id": "req_1", "body": BODY},
    "error": None,
}
PAIR: dict[str, Any] = {
    "id": "pair-1",
    "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "user": "alice"},
    "response": BODY,
    "latency_s": 0.7,
}


def run(tmp_path: Path, *rows: dict[str, Any]) -> tuple[IngestSummary, list[dict[str, Any]]]:
    store = LogStore(tmp_path / "store")
    summary = ingest([write_json_lines(tmp_path / "export.jsonl", rows)], store, tmp_path / "quarantine")
    return summary, store.requests().to_pylist(maps_as_pydicts="strict")


def test_a_batch_result_becomes_a_request_without_prompt(tmp_path: Path) -> None:
    summary, [row] = run(tmp_path, BATCH)
    assert summary.files[0].source == "openai"
    known = {
        "request_id": "request-1",
        "tenant_id": "default",
        "prompt": None,
        "input_tokens": 20,
        "output_tokens": 2,
        "candidates": ["gpt-4o-mini-2024-07-18"],
        "chosen_model": "gpt-4o-mini-2024-07-18",
        "served_model": "gpt-4o-mini-2024-07-18",
        "policy_version": "external:openai",
        "propensity": None,
        "status": "ok",
        "cost_usd": None,
    }
    assert {name: row[name] for name in known} == known
    assert row["received_at"].isoformat() == "2026-03-01T10:00:00+00:00"


def test_a_logged_pair_keeps_its_prompt_and_the_model_that_was_asked_for(tmp_path: Path) -> None:
    _, [row] = run(tmp_path, PAIR)
    assert (row["request_id"], row["prompt"], row["user_id"]) == ("pair-1", "Hi", "alice")
    assert (row["chosen_model"], row["latency_s"], row["context"]) == ("gpt-4o-mini", 0.7, {"turns": "1"})


def test_a_batch_request_line_beside_its_response_is_understood(tmp_path: Path) -> None:
    line = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": PAIR["request"]}
    _, rows = run(tmp_path, BATCH | {"request": line}, BATCH | {"custom_id": "d", "body": PAIR["request"]})
    assert [row["prompt"] for row in rows] == ["Hi", "Hi"]


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"response": {"status_code": 500, "body": {}}}, None, None),
        ({"error": {"code": "batch_expired"}, "response": None}, "timeout", "batch_expired"),
        ({"response": {"status_code": 429, "body": {"error": {"type": "rate_limit"}}}}, "error", "rate_limit"),
        ({"response": {"status_code": 504, "body": {"error": {"message": "?"}}}}, "timeout", "504"),
    ],
)
def test_failures_are_requests_too(
    tmp_path: Path, changes: dict[str, Any], status: str | None, kind: str | None
) -> None:
    request = {"request": PAIR["request"], "created_at": 1772359200}
    summary, rows = run(tmp_path, PAIR, BATCH | request | changes)
    failed = [row for row in rows if row["request_id"] == "request-1"]
    if status is None:
        status, kind = "error", "500"
    assert [(row["status"], row["error_kind"], row["served_model"]) for row in failed] == [(status, kind, None)]
    assert summary.n_quarantined == 0


def test_embeddings_and_rows_without_any_answer_are_set_apart(tmp_path: Path) -> None:
    summary, rows = run(
        tmp_path,
        PAIR,
        PAIR | {"id": "e", "response": {"object": "list", "data": []}},
        PAIR | {"id": "n", "response": None},
    )
    assert len(rows) == 1
    assert summary.quarantined == {
        "a response of kind list is not a text generation": 1,
        "row has neither a response nor an error": 1,
    }


def test_a_response_without_a_time_is_set_apart(tmp_path: Path) -> None:
    summary, _ = run(tmp_path, PAIR | {"response": {key: BODY[key] for key in ("id", "model", "usage")}})
    assert summary.quarantined == {"received_at is missing": 1}
