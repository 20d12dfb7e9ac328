"""A chat's messages as the one text that routing looks at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["count_turns", "prompt_of"]

_WITHHELD: Final = frozenset({"redacted-by-litellm", "redacted by litellm", "[redacted]"})


def prompt_of(messages: Any) -> str | None:
    """Return the texts of all messages, in order, parted by blank lines; None where there is no text.

    Takes a list of chat messages, a plain prompt, or either of them as JSON. Images and sound are passed over, as
    is text that the logging system withheld.

    Examples
    --------
    >>> print(prompt_of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]))
    Be brief.
    <BLANKLINE>
    Who?
    """
    texts = [text for message in _listed(messages) if (text := _text_of(message))]
    return "\n\n".join(texts) or None


def count_turns(messages: Any) -> int:
    """Return how many messages the user has sent."""
    return sum(isinstance(message, Mapping) and message.get("role") == "user" for message in _listed(messages))


def _listed(messages: Any) -> list[Any]:
    if isinstance(messages, str):
        return _parsed(messages)
    if isinstance(messages, Mapping):
        return [messages] if "content" in messages else _listed(messages.get("messages"))
    return list(messages) if isinstance(messages, list | tuple) else []


def _parsed(text: str) -> list[Any]:
    """Return the messages that a text holds as JSON; a prompt that merely happens to be JSON is itself the message."""
    if not text.lstrip().startswith(("[", "{")):
        return [text]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    listed = _listed(value)
    are_messages = all(isinstance(item, Mapping) and "content" in item for item in listed)
    return listed if not value or (listed and are_messages) else [text]


def _text_of(message: Any) -> str:
    content = message.get("content", message.get("text")) if isinstance(message, Mapping) else message
    if isinstance(content, list | tuple):
        return "\n".join(text for part in content if (text := _text_of(part)))
    if not isinstance(content, str) or content.strip().lower() in _WITHHELD:
        return ""
    return content
