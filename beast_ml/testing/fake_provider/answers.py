"""The bytes a fake provider sends: completions, chunks of streams, errors, as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from beast_ml.testing.fake_provider.outcomes import Fault

__all__ = ["completion", "events", "fault_body", "not_found", "words"]

_WORDS: Final = tuple("the router sent this prompt to a model that costs nothing and means nothing by it".split())  # noqa: SIM905
_CREATED: Final = 1_767_225_600

_FAULTS: Final[dict[Fault, tuple[int, str, str | None, str]]] = {
    "invalid_request": (400, "invalid_request_error", None, "`messages` must not be empty"),
    "context_length": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "auth": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "request_timeout": (408, "timeout", None, "The request took too long."),
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "server_error": (500, "server_error", None, "The server had an error while processing your request."),
    "unavailable": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "stream_error": (500, "server_error", None, "The server had an error in the middle of an answer."),
}


def fault_body(fault: Fault) -> tuple[int, bytes]:
    """Return the status and the body of a failure."""
    status, kind, code, message = _FAULTS[fault]
    return status, _error(message, kind, code)


def not_found(model: str) -> bytes:
    """Return the body of a 404."""
    return _error(f"The model `{model}` does not exist.", "invalid_request_error", "model_not_found")


def _error(message: str, kind: str, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


@lru_cache(maxsize=4096)
def words(n: int) -> tuple[str, ...]:
    """Return so many tokens of text."""
    return tuple((" " if i else "") + _WORDS[i % len(_WORDS)] for i in range(n))


def completion(
    number: int, model: str, tokens: Sequence[str], finish: str, n_input: int, message: dict[str, Any] | None = None
) -> bytes:
    """Return a whole answer."""
    return msgspec.json.encode(
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": _CREATED,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": message or {"role": "assistant", "content": "".join(tokens)},
                    "logprobs": None,
                    "finish_reason": finish,
                }
            ],
            "usage": usage(n_input, len(tokens)),
        }
    )


def usage(n_input: int, n_output: int) -> dict[str, int]:
    """Return the token counts of a call."""
    return {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}


def events(
    number: int, model: str, tokens: Sequence[str], finish: str, n_input: int | None, per_chunk: int
) -> Iterator[bytes]:
    """Yield the events of a stream; ``n_input`` is given where the request asks for usage."""
    more = {"usage": None} if n_input is not None else {}

    def event(choices: list[dict[str, Any]], told: dict[str, Any]) -> bytes:
        head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": _CREATED, "model": model}
        return b"data: %b\n\n" % msgspec.json.encode({**head, "choices": choices, **told})

    def choice(delta: dict[str, Any], reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    yield event(choice({"role": "assistant", "content": ""}, None), more)
    for start in range(0, len(tokens), per_chunk):
        yield event(choice({"content": "".join(tokens[start : start + per_chunk])}, None), more)
    yield event(choice({}, finish), more)
    if n_input is not None:
        yield event([], {"usage": usage(n_input, len(tokens))})
    yield b"data: [DONE]\n\n"
