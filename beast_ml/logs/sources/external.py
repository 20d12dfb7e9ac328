"""What all sources that are not our own have in common: they tell what happened, not how it was decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from beast_ml.logs.sources.cells import parse_time

__all__ = [
    "EXTERNAL_PREFIX",
    "UnusableRowError",
    "is_text_generation",
    "mapping_of",
    "number_of",
    "request_row",
    "seconds_between",
]

EXTERNAL_PREFIX: Final = "external:"
"""Policy versions that begin so mark logs whose choices were not made by a policy with known propensities."""

_GENERATIONS: Final = ("completion", "response", "message", "generate_content", "chat")


class UnusableRowError(ValueError):
    """A row of a source is not a routed request; the message is its quarantine reason."""


def request_row(
    *,
    system: str,
    request_id: Any,
    received_at: Any,
    model: Any,
    status: str,
    cache_hit: bool | None,
    tenant_id: Any,
    prompt: str | None,
    context: Mapping[str, Any],
    error_kind: str | None = None,
    latency_s: float | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return a row of the routed-request log for a call that another system made.

    The model that was asked is the chosen one and the only candidate; there is no propensity, and the policy version
    ``external:<system>`` says so. A cache hit and a rejected request chose nothing. Latency, tokens and cost are those
    of a model that answered, so a failed call keeps its duration in ``attempts`` alone.
    """
    answered = status == "ok"
    routed = bool(model) and not cache_hit and status != "rejected"
    row = {
        "request_id": request_id,
        "received_at": received_at,
        "tenant_id": tenant_id or "default",
        "context": {key: value for key, value in context.items() if value not in (None, "")},
        "prompt": prompt,
        "candidates": [model] if model else [],
        "chosen_model": model if routed else None,
        "policy_version": f"{EXTERNAL_PREFIX}{system}",
        "cache_result": None if cache_hit is None else "exact" if cache_hit else "miss",
        "status": status,
        "error_kind": error_kind,
        "served_model": model if routed and answered else None,
        "latency_s": latency_s if answered else None,
    }
    if routed:
        row["attempts"] = [{"model": model, "status": status, "error_kind": error_kind, "latency_s": latency_s}]
    else:
        others["ttft_s"] = None
    of_the_answer = ("ttft_s", "output_tokens", "cost_usd")
    return row | {key: None if key in of_the_answer and not answered else value for key, value in others.items()}


def is_text_generation(call_type: Any) -> bool:
    """Return whether a call was one that a router of text models would have routed; unknown calls are."""
    return not call_type or any(word in str(call_type).lower() for word in _GENERATIONS)


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return a mapping that may come as JSON text; empty when it is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def number_of(value: Any) -> Any:
    """Return a number that may come as text; what is no number is left for the column's own check to name."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def seconds_between(start: Any, end: Any) -> float | None:
    """Return the seconds from one time to another, None where either is unknown or not a time."""
    if start in (None, "") or end in (None, ""):
        return None
    try:
        return (parse_time(end) - parse_time(start)).total_seconds()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
