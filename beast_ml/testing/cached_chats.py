"""Chats of several tenants through a gateway with a cache, judged by what its fake provider was asked."""

from __future__ import annotations

import json
from typing import Any, Final

from beast_ml.testing.fake_provider import FakeProvider
from beast_ml.testing.fake_provider.app import Call

__all__ = ["ASK", "FORMS", "OTHER", "chat", "create", "made_as", "wrong"]

Messages = list[dict[str, str]]

ASK: Final[Messages] = [{"role": "user", "content": "What is the capital of France, and why is it there?"}]
"""A conversation to ask with."""

OTHER: Final[Messages] = [{"role": "user", "content": "How does a hash table resolve collisions between keys?"}]
"""Two plain questions that have nothing to do with each other."""

FORMS: Final = ("{}", "  {} ", "{}\n")
"""Ways to write one prompt: other exact keys, and one normalised key."""


def chat(tenant: str, n: int, model: str = "beast", form: int = 0, *, stream: bool = False) -> dict[str, Any]:
    """Return the body of a chat: a question that all tenants ask in the same words.

    The provider learns whose it is from a field that no key of the cache has.
    """
    said = FORMS[form].format(f"What is the square of the number {n} in mathematics?")
    body = {"model": model, "messages": [{"role": "user", "content": said}], "safety_identifier": tenant}
    return {**body, "stream": True} if stream else body


def create(client: Any, messages: Messages = ASK, **more: Any) -> tuple[Any, Any]:
    """Return what OpenAI's client is answered: the parsed completion and its headers."""
    raw = client.chat.completions.with_raw_response.create(model="beast", messages=messages, **more)
    return raw.parse(), raw.headers


def made_as(answer: bytes) -> int:
    """Return which call of the provider made an answer, whole or a stream."""
    return int(_first(answer)["id"].removeprefix("chatcmpl-"))


def wrong(provider: FakeProvider, body: dict[str, Any], answer: bytes) -> str | None:
    """Return what is wrong with an answer to a chat; None: the provider has given it to this tenant and question."""
    call: Call = provider.app.calls[made_as(answer) - 1]
    if call.body["safety_identifier"] != body["safety_identifier"]:
        return f"{body['safety_identifier']} got an answer of {call.body['safety_identifier']}"
    if _words(call.body) != _words(body):
        return f"{_words(body)!r} got the answer to {_words(call.body)!r}"
    if body["model"] not in ("beast", call.model):
        return f"{body['model']} was asked, {call.model} has answered"
    if _first(answer)["model"] != call.model:
        return f"{call.model} has answered, and {_first(answer)['model']} is said to have"
    return None


def _first(answer: bytes) -> dict[str, Any]:
    """Return a completion, or the first event of a stream."""
    text = answer.decode()
    told: dict[str, Any] = json.loads(text.partition("data: ")[2].partition("\n")[0] if "data: " in text else text)
    return told


def _words(body: dict[str, Any]) -> str:
    return " ".join(body["messages"][0]["content"].split())
