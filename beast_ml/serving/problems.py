"""Errors as problem+json (RFC 9457): what was got, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final

import msgspec

from beast_ml.errors import (
    AuthenticationError,
    BeastError,
    BudgetExceededError,
    ForbiddenError,
    InputError,
    NoCandidateError,
    ProviderError,
    RateLimitedError,
    UnavailableError,
    UnknownModelError,
)

__all__ = ["PROBLEM_JSON", "Problem", "problem_of"]

PROBLEM_JSON: Final = b"application/problem+json"
"""The media type of errors (RFC 9457)."""

_PROVIDER_STATUS: Final = {
    "timeout": 504,
    "rate_limit": 429,
    "context_length": 400,
    "content_filter": 400,
    "invalid_request": 400,
}


class Problem(msgspec.Struct, frozen=True):
    """The body of an error.

    Parameters
    ----------
    title
        The error in two words.
    status
        Of the HTTP answer.
    detail
        What was got, what is allowed, what to do.
    kind
        One of `beast_ml.domain.failure.ERROR_KINDS`, or ``auth``, ``not_found``, ``unavailable``.
    type
        RFC 9457's identifier; the kind tells programs what they need.
    request_id
        Under which a request that was rejected is logged.
    """

    title: str
    status: int
    detail: str
    kind: str
    type: str = "about:blank"
    request_id: str | None = None

    def body(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)


def problem_of(error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """Return what to answer to an error, and headers that go with it; what is not ours to explain is ``internal``."""
    problem, headers = _problem(error)
    if isinstance(error, BeastError) and error.request_id is not None:
        problem = msgspec.structs.replace(problem, request_id=error.request_id)
    return problem, headers


def _problem(error: Exception) -> tuple[Problem, Mapping[str, str]]:
    detail = str(error)
    match error:
        case AuthenticationError():
            return Problem("Unauthorized", 401, detail, "auth"), {"www-authenticate": "Bearer"}
        case ForbiddenError():
            return Problem("Forbidden", 403, detail, "auth"), {}
        case RateLimitedError():
            return Problem("Too many requests", 429, detail, "rate_limit"), {
                "retry-after": str(max(1, round(error.retry_after_s + 0.5)))
            }
        case BudgetExceededError():
            # 402 and not 429: clients retry the latter at once, and the answer would be the same.
            return Problem("Budget exceeded", 402, detail, "budget"), {}
        case UnavailableError():
            return Problem("Unavailable", 503, detail, "unavailable"), {
                "retry-after": str(max(1, ceil(error.retry_after_s)))
            }
        case ProviderError():
            after = {} if error.retry_after_s is None else {"retry-after": str(max(1, round(error.retry_after_s)))}
            return Problem("Provider failed", _PROVIDER_STATUS.get(error.kind, 502), detail, error.kind), after
        case NoCandidateError():
            return Problem("No candidate", 422, detail, "no_candidate"), {}
        case UnknownModelError():
            return Problem("Unknown model", 404, detail, "invalid_request"), {}
        case InputError() | msgspec.ValidationError():
            return Problem("Invalid request", 422, detail, "invalid_request"), {}
        case msgspec.DecodeError() | UnicodeDecodeError():
            return Problem("Malformed JSON", 400, f"the body is no JSON: {detail}", "invalid_request"), {}
        case BeastError():
            return Problem("Internal error", 500, detail, "internal"), {}
        case _:
            detail = "an error of ours; it is in the server's log. Try again, and report it if it stays"
            return Problem("Internal error", 500, detail, "internal"), {}
