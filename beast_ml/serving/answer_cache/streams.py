"""From the events of a stream to a completion, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from beast_ml.serving.gateway.sse import DONE, data_event, event_data

__all__ = ["assembled", "replayed"]

_TEXTS: Final = ("content", "refusal", "reasoning_content", "reasoning")
"""Fields of a delta that are pieces of a text."""
_PADDING: Final = "obfuscation"
_PIECE: Final = 256

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def assembled(events: Iterable[bytes]) -> bytes | None:
    """Return the completion that a complete stream tells; None where it holds what cannot be put together safely.

    Parameters
    ----------
    events
        As they came.
    """
    head: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    logprobs: dict[str, Any] | None = None
    finish: str | None = None
    for event in events:
        data = event_data(event)
        if not data or data.strip() == DONE:
            continue
        chunk = _decode(data)
        choices = chunk.pop("choices", None) or []
        head |= {name: value for name, value in chunk.items() if value is not None and name != _PADDING}
        for choice in choices:
            delta = choice.get("delta") or {}
            if choice.get("index", 0) != 0 or not _add(message, delta):
                return None
            logprobs = _joined(logprobs, choice.get("logprobs"))
            finish = choice.get("finish_reason") or finish
    usage = head.pop("usage", None)
    made = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    told = {} if usage is None else {"usage": usage}
    return _encode({**head, "object": "chat.completion", "choices": [made], **told})


def replayed(completion: bytes, *, wants_usage: bool) -> Iterator[bytes]:
    """Yield the events of a stream that tells a completion of one choice.

    Parameters
    ----------
    completion
        As it is kept.
    wants_usage
        Whether the client asked for token counts: then they come last, and all other events have none.
    """
    body = _decode(completion)
    (choice,) = body.pop("choices")
    usage = body.pop("usage", None)
    head = {**body, "object": "chat.completion.chunk"}
    more = {"usage": None} if wants_usage and usage is not None else {}
    message = {name: value for name, value in choice["message"].items() if value is not None}

    def event(delta: dict[str, Any], reason: str | None = None, logprobs: Any = None) -> bytes:
        told = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return data_event(_encode({**head, "choices": [told], **more}))

    texts = {name: text for name in _TEXTS if isinstance(text := message.pop(name, None), str)}
    yield event({"role": "assistant", **message, "content": ""}, logprobs=choice.get("logprobs"))
    for name in ("reasoning", "reasoning_content", "content", "refusal"):
        text = texts.get(name, "")
        for start in range(0, len(text), _PIECE):
            yield event({name: text[start : start + _PIECE]})
    yield event({}, choice.get("finish_reason"))
    if more:
        yield data_event(_encode({**head, "choices": [], "usage": usage}))
    yield data_event(DONE)


def _add(message: dict[str, Any], delta: dict[str, Any]) -> bool:
    """Add a delta to a message; return False where it is not known how."""
    for name, value in delta.items():
        if name == "role" or value is None or value == []:
            continue
        if name not in _TEXTS or not isinstance(value, str):
            return False
        message[name] = (message.get(name) or "") + value
    return True


def _joined(known: dict[str, Any] | None, more: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the log probabilities of both, token after token."""
    if more is None:
        return known
    joined = dict(known or {})
    for name, tokens in more.items():
        joined[name] = [*(joined.get(name) or ()), *tokens] if tokens is not None else joined.get(name)
    return joined
