"""The turn that is compared by meaning: the last question, and what of the conversation shapes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from beast_ml.cache.request import SYSTEM_ROLES, text_of

__all__ = ["is_follow_up", "turn_text"]

_MAX_CHARACTERS: Final = 4_000
_MIN_WORDS: Final = 5

_LEANS_ON_AN_ANSWER: Final = re.compile(
    r"\b(?:it|its|that|this|these|those|they|them|their|he|she|him|her|his|hers|same|such|former|latter|above|below"
    r"|previous|earlier|last|first|second|third|one|ones|another|other|others|again|more|less|further|continue|instead|else|both"
    r"|either|neither|shorter|longer|simpler|better|answers?|option|step|you (?:said|mentioned|wrote|gave|listed))\b",
)
_ELLIPTICAL: Final = re.compile(
    r"^\W*(?:and|or|but|so|also|then|now|what about|how about|why(?: not)?\W*$|ok|okay|yes|yeah|no|nope|sure"
    r"|please do)\b",
)
_NEW_QUESTION: Final = re.compile(
    r"^\W*(?:(?:and |or )?(?:what|how) about|(?:and|or) (?:in|for|with|at|on|to|from|of|the|an?))\b"
)


def is_follow_up(said: str) -> bool:
    """Return whether a turn cannot be understood without those before it; in doubt it cannot.

    Examples
    --------
    >>> is_follow_up("And in French?"), is_follow_up("How do I sort a list in Python by length?")
    (True, False)
    """
    said = said.lower()
    return (
        len(said.split()) < _MIN_WORDS
        or _ELLIPTICAL.match(said) is not None
        or _LEANS_ON_AN_ANSWER.search(said) is not None
    )


def turn_text(messages: Sequence[Mapping[str, Any]], max_characters: int = _MAX_CHARACTERS) -> str | None:
    """Return the last question with what shapes it; None where that cannot be told whole.

    The question stands first, for an embedder that reads only so many tokens, then the turns before it, latest first.
    All that the user said before is there: an instruction given early ("answer in French", "I use Rust") holds to the
    end. The assistant's answers are there unless the question can be read without them. Nothing is shortened: two
    conversations that differ in a part left out would look the same. System prompts are not there: they are in the
    partition, as the tenant is.

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
    needs_answers = len(turns) > 1 and _needs_answers(question)
    told = [question.strip()]
    for message in reversed(turns[:-1]):
        role, said = message.get("role"), text_of(message.get("content"))
        if said is None:
            return None
        if role == "user" or needs_answers:
            told.append(f"{role}: {said.strip()}")
    text = "\n\n".join(told)
    return text if len(text) <= max_characters else None


def _needs_answers(question: str) -> bool:
    """Tell "and in French?", which goes on from the last question, from "and shorter?", which does from its answer."""
    said = question.lower()
    return is_follow_up(said) and (_NEW_QUESTION.match(said) is None or _LEANS_ON_AN_ANSWER.search(said) is not None)
