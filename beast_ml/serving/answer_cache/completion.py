"""What is kept: complete answers and refusals as chat completions, and errors that are the request's own fault."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from beast_ml.cache.entry import AnswerKind
from beast_ml.domain.failure import ErrorKind

__all__ = ["KEPT_ERRORS", "KeptError", "kept_error", "kind_of_completion", "read_kept_error", "text_of_completion"]

_MOST_BYTES: Final = 1 << 20

_ERROR: Final = b"!"
"""Begins what is kept of an error, as no completion does."""

KEPT_ERRORS: Final[dict[ErrorKind, AnswerKind]] = {
    "content_filter": "refusal",
    "context_length": "error",
    "invalid_request": "error",
}
"""Errors that the same request would meet again; all others are the provider's, or the moment's."""


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    error: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


def kind_of_completion(body: bytes) -> AnswerKind | None:
    """Return what a completion is; None where it is not to be kept: cut short, empty, calling tools, or no text.

    Examples
    --------
    >>> kind_of_completion(b'{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}')
    'answer'
    >>> kind_of_completion(b'{"choices": [{"message": {"content": "The"}, "finish_reason": "length"}]}') is None
    True
    """
    if len(body) > _MOST_BYTES:
        return None
    try:
        completion = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if completion.error is not None or len(completion.choices) != 1:
        return None
    (choice,) = completion.choices
    message = choice.message
    if message.tool_calls or message.function_call or message.audio:
        return None
    if message.refusal or choice.finish_reason == "content_filter":
        return "refusal"
    return "answer" if choice.finish_reason == "stop" and (message.content or "").strip() else None


def text_of_completion(body: bytes) -> str | None:
    """Return what a completion's first choice says; None where it says nothing, or is none."""
    try:
        completion = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return completion.choices[0].message.content if completion.choices else None


class KeptError(msgspec.Struct, frozen=True):
    """An error of a provider: what it says, and of which kind.

    Parameters
    ----------
    said
        The provider's own words.
    """

    kind: ErrorKind
    said: str


def kept_error(error: KeptError) -> bytes:
    """Return it as an entry's answer."""
    return _ERROR + msgspec.json.encode(error)


def read_kept_error(answer: bytes) -> KeptError | None:
    """Return the error that an entry holds; None where it holds a completion."""
    return msgspec.json.decode(answer[1:], type=KeptError) if answer.startswith(_ERROR) else None
