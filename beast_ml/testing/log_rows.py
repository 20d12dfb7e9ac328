"""Rows of the routed-request log, as JSON values, for tests to change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["cached_request", "routed_request", "write_json_lines"]


def routed_request(**changes: Any) -> dict[str, Any]:
    """Return a request that was routed, answered and labelled, with these changes."""
    row = {
        "request_id": "routed",
        "received_at": "2026-03-01T10:00:00Z",
        "tenant_id": "acme",
        "context": {"task": "maths", "turns": 2},
        "prompt": "2 + 2?",
        "input_tokens": 5,
        "candidates": ["large", "small"],
        "chosen_model": "small",
        "propensity": 0.25,
        "policy_version": "v1",
        "cache_result": "miss",
        "status": "ok",
        "attempts": [{"model": "small", "status": "ok", "error_kind": None, "latency_s": 0.5}],
        "served_model": "small",
        "latency_s": 0.5,
        "output_tokens": 1,
        "cost_usd": 0.001,
        "quality": 1.0,
        "quality_source": "judge",
        "feedback_at": "2026-03-01T11:00:00Z",
    }
    return row | changes


def cached_request(**changes: Any) -> dict[str, Any]:
    """Return a request that was answered from the semantic cache, so that nothing was chosen, with these changes."""
    row = {
        "request_id": "cached",
        "received_at": "2026-03-02T00:00:00Z",
        "tenant_id": "acme",
        "prompt": "2 + 2?",
        "candidates": ["large", "small"],
        "cache_result": "semantic",
        "cache_similarity": 0.99,
        "status": "ok",
        "latency_s": 0.01,
    }
    return row | changes


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON lines and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
