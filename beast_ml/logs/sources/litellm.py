"""LiteLLM's two kinds of log: the ``LiteLLM_SpendLogs`` table, and ``StandardLoggingPayload`` objects.

Field names are those of LiteLLM 1.109. Keys and their hashes, aliases, e-mail and network addresses are not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from beast_ml.logs.sources.external import (
    UnusableRowError,
    is_text_generation,
    mapping_of,
    number_of,
    request_row,
    seconds_between,
)
from beast_ml.logs.sources.messages import count_turns, prompt_of

__all__ = ["is_payload", "is_spend_log", "litellm_request"]

_SYSTEM: Final = "litellm"
_HITS: Final[dict[Any, bool]] = {"true": True, "false": False}


def is_spend_log(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of the ``LiteLLM_SpendLogs`` table."""
    return {"request_id", "spend", "startTime"} <= row.keys()


def is_payload(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a ``StandardLoggingPayload``, alone or under ``standard_logging_object``."""
    return {"id", "response_cost", "startTime"} <= _payload(row).keys()


def litellm_request(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the routed-request log for a LiteLLM row of either kind.

    Raises
    ------
    UnusableRowError
        If it is neither, or no text generation (embeddings, images, ...).
    """
    if is_spend_log(row):
        return _from_spend_log(row)
    if is_payload(row):
        return _from_payload(_payload(row))
    raise UnusableRowError("row is neither a LiteLLM spend log nor a StandardLoggingPayload")


def _from_spend_log(row: Mapping[str, Any]) -> dict[str, Any]:
    _check_call_type(row)
    metadata = mapping_of(row.get("metadata"))
    error = mapping_of(metadata.get("error_information"))
    status = _status(row.get("status") or metadata.get("status"), error)
    asked = row.get("messages")
    if not prompt_of(asked):  # LiteLLM stores the request itself only where it is told to
        asked = mapping_of(row.get("proxy_server_request")).get("messages")
    return _request(
        row,
        asked,
        error,
        status,
        request_id=row.get("request_id"),
        cost_usd=number_of(row.get("spend")),
        tenant_id=row.get("team_id") or metadata.get("user_api_key_team_id") or row.get("organization_id"),
        user_id=row.get("end_user") or row.get("user") or None,
    )


def _from_payload(row: Mapping[str, Any]) -> dict[str, Any]:
    _check_call_type(row)
    metadata = mapping_of(row.get("metadata"))
    error = mapping_of(row.get("error_information"))
    return _request(
        row,
        row.get("messages"),
        error,
        _status(row.get("status"), error),
        request_id=row.get("id"),
        cost_usd=number_of(row.get("response_cost")),
        tenant_id=metadata.get("user_api_key_team_id")
        or metadata.get("team_id")
        or metadata.get("user_api_key_org_id"),
        user_id=row.get("end_user") or metadata.get("user_api_key_end_user_id") or metadata.get("user_api_key_user_id"),
    )


def _request(
    row: Mapping[str, Any], messages: Any, error: Mapping[str, Any], status: str, *, request_id: Any, **others: Any
) -> dict[str, Any]:
    """Return what both kinds share: both name models, times, tokens and cache hits alike."""
    start, end = row.get("startTime"), row.get("endTime")
    latency, ttft = seconds_between(start, end), seconds_between(start, row.get("completionStartTime"))
    if ttft is not None and (latency is None or not 0 <= ttft < latency):
        ttft = None  # without streaming, LiteLLM reports the end as the completion's start
    turns = count_turns(messages)
    return request_row(
        system=_SYSTEM,
        request_id=request_id,
        received_at=start,
        model=row.get("model") or None,
        status=status,
        cache_hit=_HITS.get(str(row.get("cache_hit")).lower()),
        prompt=prompt_of(messages),
        context={
            "model_group": row.get("model_group"),
            "provider": row.get("custom_llm_provider"),
            "turns": turns or None,
        },
        error_kind=error.get("error_class") or None if status != "ok" else None,
        latency_s=latency,
        ttft_s=ttft,
        session_id=row.get("session_id") or None,
        endpoint=row.get("model_id") or None,
        input_tokens=number_of(row.get("prompt_tokens")) or None,
        output_tokens=number_of(row.get("completion_tokens")),
        **others,
    )


def _payload(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping_of(row["standard_logging_object"]) if "standard_logging_object" in row else row


def _check_call_type(row: Mapping[str, Any]) -> None:
    if not is_text_generation(row.get("call_type")):
        raise UnusableRowError(f"call type {row.get('call_type')} is not a text generation")


def _status(status: Any, error: Mapping[str, Any]) -> str:
    if str(status or "success").lower() == "success":
        return "ok"
    kind = str(error.get("error_class") or "")
    if "Timeout" in kind or str(error.get("error_code")) in ("408", "504"):
        return "timeout"
    return "rejected" if kind == "BudgetExceededError" else "error"
