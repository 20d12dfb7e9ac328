"""OpenAI-style pairs of request and response, one JSON object a line: Batch API results and logged calls.

A line has ``response`` (``{"status_code", "body": {"model", "usage", "created", ...}}`` or the body itself) and
``error``; the request under ``request`` or ``body`` (``{"model", "messages", ...}``) where it was logged; its id under
``custom_id``, ``request_id`` or ``id``; optionally ``created_at`` and ``latency_s``. A Batch result holds no request:
its prompt is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from beast_ml.logs.sources.external import UnusableRowError, mapping_of, request_row
from beast_ml.logs.sources.messages import count_turns, prompt_of

__all__ = ["is_openai_pair", "openai_request"]

_SYSTEM: Final = "openai"


def is_openai_pair(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a request/response pair or a Batch API result."""
    has_request = "request" in row or "body" in row
    return "response" in row and (has_request or "custom_id" in row)


def openai_request(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the routed-request log for a pair.

    The model is the one that was asked for; where no request was logged, the one that the response names.

    Raises
    ------
    UnusableRowError
        If there is neither a response nor an error, or the call was no text generation.
    """
    request = mapping_of(row.get("request")) or mapping_of(row.get("body"))
    request = mapping_of(request.get("body")) or request  # a Batch request line, kept whole
    response = mapping_of(row.get("response"))
    body = mapping_of(response.get("body")) or response
    error = mapping_of(row.get("error")) or mapping_of(body.get("error"))
    if not body and not error:
        raise UnusableRowError("row has neither a response nor an error")
    if body.get("object") in ("list", "embedding"):
        raise UnusableRowError(f"a response of kind {body['object']} is not a text generation")
    code = response.get("status_code")
    failed = bool(error) or (isinstance(code, int) and code >= 400)
    kind = str(error.get("code") or error.get("type") or code or "unknown") if failed else None
    timed_out = failed and (code in (408, 504) or "timeout" in str(kind) or "expired" in str(kind))
    usage = mapping_of(body.get("usage"))
    messages = request.get("messages") or request.get("input") or request.get("prompt")
    return request_row(
        system=_SYSTEM,
        request_id=row.get("custom_id")
        or row.get("request_id")
        or row.get("id")
        or response.get("request_id")
        or body.get("id"),
        received_at=row.get("created_at") or row.get("received_at") or body.get("created") or body.get("created_at"),
        model=request.get("model") or body.get("model") or None,
        status="timeout" if timed_out else "error" if failed else "ok",
        cache_hit=None,
        tenant_id=row.get("tenant_id"),
        prompt=prompt_of(messages),
        context={"turns": count_turns(messages) or None},
        error_kind=kind,
        latency_s=row.get("latency_s"),
        user_id=request.get("user") or request.get("safety_identifier") or None,
        input_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
        output_tokens=usage.get("completion_tokens", usage.get("output_tokens")),
    )
