"""How errors are described in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from beast_ml.domain.failure import ERROR_KINDS

__all__ = ["PROBLEM_SCHEMA", "problem_answer"]

PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "What went wrong, as RFC 9457 has it.",
    "properties": {
        "type": {
            "type": "string",
            "description": "Always `about:blank`: `kind` tells problems apart.",
            "format": "uri-reference",
            "default": "about:blank",
        },
        "title": {"type": "string", "description": "The error in two words."},
        "status": {"type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was got, what is allowed, what to do."},
        "kind": {
            "type": "string",
            "description": "The same for programs.",
            "enum": sorted({*ERROR_KINDS, "not_found", "unavailable"}),
        },
        "request_id": {"type": ["string", "null"], "description": "Under which the refused request is logged."},
    },
    "required": ["title", "status", "detail", "kind"],
}
"""Of every error's body."""

_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "How to send a key: `Bearer`.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}},
    503: {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}},
}


def problem_answer(status: int) -> dict[str, Any]:
    """Return how an answer with a status is described."""
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return answer | ({"headers": dict(_HEADERS[status])} if status in _HEADERS else {})
