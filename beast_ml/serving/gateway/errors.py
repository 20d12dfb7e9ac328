"""Errors in OpenAI's form, which are problem details (RFC 9457) at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from beast_ml.serving.http_body import BodyTooLargeError
from beast_ml.serving.problems import problem_of

__all__ = ["error_answer", "error_body"]

_CODES: Final = {
    "budget": "insufficient_quota",
    "context_length": "context_length_exceeded",
    "rate_limit": "rate_limit_exceeded",
}


def error_body(error: Exception, request_id: str | None = None) -> bytes:
    """Return the body alone."""
    return error_answer(error, request_id)[1]


def error_answer(error: Exception, request_id: str | None = None) -> tuple[int, bytes, Mapping[str, str]]:
    """Return status, body and headers of an error."""
    problem, headers = problem_of(error)
    if isinstance(error, BodyTooLargeError):
        problem = msgspec.structs.replace(problem, title="Too large", status=413)
    told = msgspec.to_builtins(problem)
    kind = "invalid_request_error" if 400 <= problem.status < 500 else "server_error"
    told["request_id"] = request_id
    told["error"] = {
        "message": problem.detail,
        "type": kind,
        "param": None,
        "code": _CODES.get(problem.kind, problem.kind),
    }
    return problem.status, msgspec.json.encode(told), headers
