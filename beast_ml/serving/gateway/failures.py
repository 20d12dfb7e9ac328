"""What a provider's failure means: one of our kinds, what was said, what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import msgspec
import openai

from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import ProviderError

__all__ = ["Failure", "failure_of_answer", "failure_of_error", "provider_error"]

_MAX_RETRY_AFTER_S: Final = 3600.0
_MAX_SAID: Final = 300

_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "string_above_max_length", "context_window_exceeded"})
_CONTEXT_WORDS: Final = re.compile(
    r"maximum context length|context (window|length|size)|prompt is too long|input is too long|too many tokens"
    r"|reduce the length|max_model_len",
    re.IGNORECASE,
)
_CONTENT_CODES: Final = frozenset(
    {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "moderation_blocked"}
)
_CONTENT_WORDS: Final = re.compile(
    r"content (management )?policy|content filter|safety system|flagged (by|as|for)|requires moderation|usage polic",
    re.IGNORECASE,
)

_NEXT_STEP: Final[dict[ErrorKind, str]] = {
    "provider": "look at the provider's status, and that `base_url` and `provider_model` of the endpoint are right",
    "timeout": "try again, or raise the endpoint's `timeout_s` if its model needs longer",
    "rate_limit": "send less, raise the limit at the provider, or add an endpoint for the model",
    "context_length": "shorten the prompt, or let a model with a longer context be a candidate",
    "content_filter": "change the prompt, or let another provider's model be a candidate",
    "auth": "check the key in the endpoint's `api_key_env`, and what it may do at the provider",
    "invalid_request": "correct the request",
}


class Failure(msgspec.Struct, frozen=True):
    """Why a call did not come to an answer.

    Parameters
    ----------
    kind
        In our words.
    said
        In the provider's, or the network's.
    status
        Of its HTTP answer; None where there was none.
    retry_after_s
        What it asked for.
    may_cost
        Whether the provider may have worked on the request, and charge for it.
    """

    kind: ErrorKind
    said: str
    status: int | None = None
    retry_after_s: float | None = None
    may_cost: bool = False


class _Said(msgspec.Struct, frozen=True):
    message: Any = None
    code: Any = None
    type: Any = None


class _Body(msgspec.Struct, frozen=True):
    error: _Said | str | None = None
    message: Any = None
    detail: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def failure_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Return what an HTTP answer that is no success means."""
    message, code, kind_said = _said(body)
    kind = _kind(status, code, kind_said, message)
    said = f"{status} {message[:_MAX_SAID]!r}" if message else f"{status} without a word"
    return Failure(kind, said, status, _retry_after_s(headers), may_cost=status in (408, 504, 524))


def failure_of_error(error: Exception) -> Failure:
    """Return what an exception of the SDK, or of its HTTP client, means; what is neither is raised again."""
    match error:
        case openai.APIStatusError():
            response = error.response
            return failure_of_answer(response.status_code, response.headers, response.content)
        case openai.APIConnectionError() if isinstance(error.__cause__, Exception):
            return failure_of_error(error.__cause__)
        case openai.APITimeoutError() | TimeoutError():
            return Failure("timeout", "no answer in time", may_cost=True)
        case httpx2.TimeoutException():
            connecting = isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            said = "no connection in time" if connecting else "no answer, or no next token, in time"
            return Failure("timeout", said, may_cost=not connecting)
        case httpx2.ConnectError():
            return Failure("provider", f"cannot be connected to: {_text(error)}")
        case httpx2.TransportError():
            return Failure("provider", f"the connection broke: {_text(error)}", may_cost=True)
        case httpx2.HTTPError() | openai.APIConnectionError():
            return Failure("provider", _text(error), may_cost=True)
        case openai.APIError():
            return Failure("provider", f"said {error.message[:_MAX_SAID]!r}", may_cost=True)
    raise error


def provider_error(failure: Failure, model: str, endpoint: str, attempt: int, said_before: str = "") -> ProviderError:
    """Return the error that says it all: cause, model, endpoint, attempt, and the next step."""
    verb = "answered " if failure.status is not None else ""
    message = (
        f"{failure.kind}: {model!r} at endpoint {endpoint!r} {verb}{failure.said} (attempt {attempt})"
        f"{said_before}; {_NEXT_STEP.get(failure.kind, 'look at the log of the server')}"
    )
    return ProviderError(message, failure.kind, model, endpoint, failure.retry_after_s)


def _kind(status: int, code: str, kind_said: str, message: str) -> ErrorKind:
    if status in (401, 402):
        return "auth"
    if status == 403:  # some refuse content so
        return "content_filter" if _is_of_content(code, kind_said, message) else "auth"
    if status in (408, 504, 524):
        return "timeout"
    if status == 429:
        return "rate_limit"
    if status == 404 or not 400 <= status < 500:
        return "provider"  # an address or a model that is not there is set wrongly at this endpoint: others may do
    if code in _CONTEXT_CODES or _CONTEXT_WORDS.search(message):
        return "context_length"
    return "content_filter" if _is_of_content(code, kind_said, message) else "invalid_request"


def _is_of_content(code: str, kind_said: str, message: str) -> bool:
    return code in _CONTENT_CODES or kind_said in _CONTENT_CODES or _CONTENT_WORDS.search(message) is not None


def _said(body: bytes) -> tuple[str, str, str]:
    """Return message, code and type of a body: OpenAI's form, or what other servers make of it."""
    try:
        told = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:_MAX_SAID].decode("utf-8", "replace").strip(), "", ""
    if isinstance(told.error, _Said):
        return str(told.error.message or ""), str(told.error.code or ""), str(told.error.type or "")
    return str(told.error or told.message or told.detail or ""), "", ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``retry-after-ms`` or ``Retry-After``, which may be a date."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit_s
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        if seconds == seconds:
            return min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)
    return None


def _text(error: Exception) -> str:
    return str(error)[:_MAX_SAID] or type(error).__name__
