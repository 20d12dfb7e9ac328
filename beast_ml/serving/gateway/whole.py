"""An answer that is not streamed, as the provider wrote it."""

from __future__ import annotations

from typing import Any

import msgspec

from beast_ml.serving.gateway.accounting import Usage
from beast_ml.serving.gateway.failures import Failure, failure_of_answer

__all__ = ["Completion", "read_completion"]


class Completion(msgspec.Struct, frozen=True):
    """What is read of a chat completion, its ``choices``, ``usage`` and ``error``; the rest is passed on unread."""

    choices: list[msgspec.Raw]
    usage: Usage | None = None
    error: Any = None

    @property
    def n_characters(self) -> int:
        """Of all choices, for where nobody counted tokens."""
        return sum(len(bytes(raw)) for raw in self.choices)


_decode = msgspec.json.Decoder(Completion).decode


def read_completion(body: bytes) -> Completion | Failure:
    """Return the completion in a body; some providers write their errors there with status 200."""
    try:
        completion = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _no_completion(body)
    return _no_completion(body) if completion.error is not None or not completion.choices else completion


def _no_completion(body: bytes) -> Failure:
    told = failure_of_answer(200, {}, body)
    return Failure("provider", f"{told.said}, which is no chat completion", 200, may_cost=True)
