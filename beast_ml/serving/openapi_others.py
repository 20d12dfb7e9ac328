"""What the OpenAPI document says of paths that do not speak JSON both ways: chat, health, metrics, itself."""

from __future__ import annotations

import re
from typing import Any, Final

from beast_ml.serving.openapi_problems import problem_answer

__all__ = ["OTHER_PATHS", "operation_name"]


def operation_name(method: str, path: str) -> str:
    """Return what an operation is called in the document."""
    return "_".join([method.lower(), *re.findall(r"[a-z0-9]+", path.lower())])


def _open_operation(path: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "operationId": operation_name("get", path),
            "summary": summary,
            "tags": ["operation"],
            "security": [],
            "responses": answers,
        }
    }


def _answer(description: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


_JSON_OBJECT: Final = {"type": "object"}

_MESSAGE: Final = {
    "type": "object",
    "description": "One turn of a conversation; all of it is sent on.",
    "properties": {
        "role": {"type": "string", "description": "Whose turn it is.", "minLength": 1, "maxLength": 64},
        "content": {
            "description": "Text, or parts of text and pictures.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": _JSON_OBJECT}, {"type": "null"}],
        },
    },
    "required": ["role"],
}
_TOKENS: Final = {
    "type": ["integer", "null"],
    "description": "Most tokens of each answer.",
    "minimum": 1,
    "maximum": 10_000_000,
}

_CHAT: Final = {
    "operationId": "post_v1_chat_completions",
    "summary": "Answer a conversation, as OpenAI's API does; `beast` as the model lets the router choose.",
    "tags": ["gateway"],
    "security": [{"tenant": []}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "OpenAI's fields; those that are not named here are sent on as they are.",
                    "properties": {
                        "model": {
                            "type": "string",
                            "description": "`beast`: the router chooses; or the name of a candidate.",
                            "minLength": 1,
                            "maxLength": 256,
                            "examples": ["beast"],
                        },
                        "messages": {
                            "type": "array",
                            "description": "The conversation so far.",
                            "minItems": 1,
                            "items": _MESSAGE,
                        },
                        "stream": {"type": ["boolean", "null"], "description": "Answer as server-sent events."},
                        "max_tokens": _TOKENS,
                        "max_completion_tokens": _TOKENS,
                        "n": {
                            "type": ["integer", "null"],
                            "description": "How many answers to choose from.",
                            "minimum": 1,
                            "maximum": 128,
                        },
                        "user": {
                            "type": ["string", "null"],
                            "description": "Who asks; budgets heed it.",
                            "maxLength": 256,
                        },
                        "beast": {
                            "type": ["object", "null"],
                            "description": "What the router is to heed: fields of `/v1/route`, such as `min_quality`.",
                        },
                    },
                    "required": ["model", "messages"],
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The answer; headers `x-beast-...` say who gave it, and what it cost. "
            "`x-beast-propensity` and `x-beast-predicted-cost-usd` are of `x-beast-chosen-model`, also where another "
            "model had to step in, which `x-beast-fallback: true` says.",
            "headers": {
                "x-beast-request-id": {"description": "To be given with feedback.", "schema": {"type": "string"}}
            },
            "content": {
                "application/json": {"schema": _JSON_OBJECT},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        **{
            str(status): problem_answer(status)
            for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504)
        },
    },
}

OTHER_PATHS: Final[dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": {"post": _CHAT},
    "/healthz": _open_operation(
        "/healthz", "Whether the process answers.", {"200": _answer("It does.", "application/json", _JSON_OBJECT)}
    ),
    "/readyz": _open_operation(
        "/readyz",
        "Whether requests should be sent here.",
        {
            "200": _answer("They should.", "application/json", _JSON_OBJECT),
            "503": _answer("They should not: it is starting or draining.", "application/json", _JSON_OBJECT),
        },
    ),
    "/openapi.json": _open_operation(
        "/openapi.json", "This document.", {"200": _answer("Itself.", "application/json", _JSON_OBJECT)}
    ),
    "/metrics": {
        "get": {
            **_open_operation(
                "/metrics",
                "What all workers of the host counted, for Prometheus.",
                {
                    "200": _answer("Text.", "text/plain", {"type": "string"}),
                    **{str(status): problem_answer(status) for status in (401, 403, 500, 503)},
                },
            )["get"],
            "security": [{"admin": []}],
        }
    },
}
"""Path -> method -> operation."""
