"""The turn that is compared by meaning: the last question, and what its user said before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from beast_ml.cache.request import SYSTEM_ROLES, text_of

__all__ = ["outline", "turn_text"]

_MAX_CHARACTERS: Final = 4_000


def turn_text(messages: Sequence[Mapping[str, Any]], max_characters: int = _MAX_CHARACTERS) -> str | None:
    """Return the last question with all that its user said before; None where that cannot be told whole.

    The question stands first, for an embedder that reads only so many tokens, then the turns before it, latest first:
    an instruction given early ("answer in French", "I use Rust") holds to the end. Nothing is shortened: two
    conversations that differ in a part left out would look the same. What others said is not compared by meaning, for a
    question about it may not show that it is one ("How many steps does the recipe have?"), and one word of it may
    decide: it must be equal, see `outline`. System prompts are in the partition, as the tenant is.

    Parameters
    ----------
    messages
        The conversation, in canonical form.
    max_characters
        Beyond this there is no text: only an equal request may hit.

    Examples
    --------
    >>> print(turn_text([
    ...     {"role": "user", "content": "How do you say cheese in Italian?"},
    ...     {"role": "assistant", "content": "Formaggio."},
    ...     {"role": "user", "content": "And in French?"},
    ... ]))
    And in French?
    <BLANKLINE>
    user: How do you say cheese in Italian?
    """
    turns = [message for message in messages if message.get("role") not in SYSTEM_ROLES]
    if not turns or turns[-1].get("role") != "user":
        return None
    question = text_of(turns[-1].get("content"))
    if question is None or not question.strip() or len(question) > max_characters:
        return None
    told = [question.strip()]
    for message in reversed(turns[:-1]):
        said = text_of(message.get("content"))
        if said is None:
            return None
        if message.get("role") == "user":
            told.append(f"user: {said.strip()}")
    text = "\n\n".join(told)
    return text if len(text) <= max_characters else None


def outline(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what of a conversation `turn_text` does not hold: the turns in order, whole where others than users spoke.

    It is empty where there is nothing but one question, after system prompts or without.

    Examples
    --------
    >>> outline([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a router?"}])
    []
    >>> outline([
    ...     {"role": "user", "content": "How do I bake bread?"},
    ...     {"role": "assistant", "content": "In three steps."},
    ...     {"role": "user", "content": "How many steps are there?"},
    ... ])
    [{'role': 'user'}, {'role': 'assistant', 'content': 'In three steps.'}, {'role': 'user'}]
    """
    if all(message.get("role") in SYSTEM_ROLES for message in messages[:-1]):
        return []
    return [_in_outline(message) for message in messages]


def _in_outline(message: Mapping[str, Any]) -> Mapping[str, Any]:
    role = message.get("role")
    if role in SYSTEM_ROLES:
        return {"role": "system"}  # what it says is in the partition; here it keeps its place
    return {"role": role} if role == "user" else message
