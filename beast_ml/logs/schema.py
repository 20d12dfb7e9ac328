"""The columns of the two tables everything else is made of."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = [
    "ASKED_FOR",
    "ATTEMPT_ENDPOINTS",
    "CACHE_RESULTS",
    "MAX_ID_CHARACTERS",
    "OUTCOME_COLUMNS",
    "QUALITY_SOURCES",
    "REQUEST_COLUMNS",
    "STATUSES",
    "CacheResult",
    "ColumnType",
    "QualitySource",
    "Status",
]

ColumnType = Literal["string", "float", "int", "time", "strings", "map", "attempts"]
"""Types of the log's columns."""

Status = Literal["ok", "error", "timeout", "rejected", "cancelled"]
"""How a request ended."""

CacheResult = Literal["miss", "exact", "semantic", "bypass"]
"""What the cache said."""

QualitySource = Literal["judge", "user", "test", "heuristic"]
"""Who judged."""

ASKED_FOR: Final = "asked_for"
"""Key of a request's context: the one model that its client left to choose from, though a policy decided."""

ATTEMPT_ENDPOINTS: Final = "attempt_endpoints"
"""Key of a request's context: the endpoints of its attempts, in their order, with commas between them."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
"""All of `Status`."""

CACHE_RESULTS: Final[tuple[CacheResult, ...]] = get_args(CacheResult)
"""All of `CacheResult`."""

QUALITY_SOURCES: Final[tuple[QualitySource, ...]] = get_args(QualitySource)
"""All of `QualitySource`."""

MAX_ID_CHARACTERS: Final = 512
"""Longer ids are quarantined: ids lie in fixed-width arrays, so that the longest sets the width of all."""

OUTCOME_COLUMNS: Final[dict[str, tuple[ColumnType, bool]]] = {
    "query_id": ("string", True),
    "task": ("string", False),
    "app": ("string", False),
    "prompt": ("string", True),
    "model": ("string", True),
    "quality": ("float", True),
    "cost_usd": ("float", False),
    "input_tokens": ("float", False),
    "output_tokens": ("float", False),
    "latency_s": ("float", False),
    "ttft_s": ("float", False),
    "split": ("string", False),
}
"""Outcome table: one row per query and model. Name -> (type, required)."""

REQUEST_COLUMNS: Final[dict[str, tuple[ColumnType, bool]]] = {
    "request_id": ("string", True),
    "received_at": ("time", True),
    "tenant_id": ("string", True),
    "user_id": ("string", False),
    "session_id": ("string", False),
    "app": ("string", False),
    "context": ("map", False),
    "prompt": ("string", False),
    "input_tokens": ("int", False),
    "candidates": ("strings", True),
    "chosen_model": ("string", False),
    "propensity": ("float", False),
    "policy_version": ("string", False),
    "request_kind": ("string", False),
    "endpoint": ("string", False),
    "region": ("string", False),
    "price_version": ("string", False),
    "experiment_id": ("string", False),
    "variant": ("string", False),
    "predicted_quality": ("float", False),
    "predicted_cost_usd": ("float", False),
    "predicted_latency_s": ("float", False),
    "decision_us": ("float", False),
    "cache_result": ("string", False),
    "cache_tier": ("string", False),
    "cache_similarity": ("float", False),
    "status": ("string", True),
    "error_kind": ("string", False),
    "attempts": ("attempts", False),
    "served_model": ("string", False),
    "ttft_s": ("float", False),
    "latency_s": ("float", False),
    "output_tokens": ("int", False),
    "cost_usd": ("float", False),
    "quality": ("float", False),
    "quality_source": ("string", False),
    "feedback_at": ("time", False),
}
"""Routed-request log: one row per request. Name -> (type, required non-null).

``context`` is a map of strings, ``attempts`` a list of {model, status, error_kind, latency_s}. Times are aware UTC.
"""
