"""Which requests the cache must leave alone, and which may be served only to their equals.

The recognisers of personal and time-bound requests are a second line of defence. A model that calls no tools knows of
the asker and of the day what its prompt tells it, and that is in the key: a name in the system prompt, retrieved
documents, the date. What they guard is a model with a state or a search of its own behind the API, and they find what
is marked by its words ("my order", "today"), not all that is meant: see the figures in their tests. Where such a model
serves several users, set `KeyRules.per_user`, and let entries be short-lived.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from beast_ml.cache.recognise.instruction import instruction_of
from beast_ml.cache.recognise.language import reading_of
from beast_ml.cache.recognise.personal import is_personal, names_a_person
from beast_ml.cache.recognise.time_bound import is_time_bound
from beast_ml.cache.request import SYSTEM_ROLES, CacheLevel, CacheRequest, text_of

__all__ = ["DEFAULT_LEVELS", "Bypass", "BypassReason", "BypassRules", "Verdict", "said_reasons", "shape_reasons"]


class BypassReason(enum.StrEnum):
    """Why the cache may not go all the way for a request."""

    ASKED = "asked"
    """The caller allows less."""
    TOOLS = "tools"
    """The model may call tools, or answers from what tools returned: from the world's state, and with effects on it."""
    TEMPERATURE = "temperature"
    """Asks for more variety than the model's own."""
    SEVERAL_ANSWERS = "several_answers"
    """Asks for more than one answer (``n``): for variety, too."""
    PERSONAL = "personal"
    """The answer depends on who asks."""
    TIME_BOUND = "time_bound"
    """The answer depends on when it is asked."""
    OTHER_LANGUAGE = "other_language"
    """Not in English: nobody here can tell whether it is personal or time-bound."""
    UNSURE_LANGUAGE = "unsure_language"
    """Keywords, code or formulas, without any word that tells the language."""
    NAMES_A_PERSON = "names_a_person"
    """Holds a name given as one's own, an address, an age, a long number: near is not near enough."""
    NOT_TEXT = "not_text"
    """Pictures, sound, files, or fields of a turn, such as its speaker's name: no embedding of the text sees them."""
    NO_QUESTION = "no_question"
    """The last turn is not the user's, or is empty: there is nothing to compare by meaning."""
    LONG_CONTEXT = "long_context"
    """More shapes the turn than can be compared by meaning."""


DEFAULT_LEVELS: Final[Mapping[BypassReason, CacheLevel]] = {
    BypassReason.ASKED: CacheLevel.BYPASS,
    BypassReason.TOOLS: CacheLevel.BYPASS,
    BypassReason.TEMPERATURE: CacheLevel.BYPASS,
    BypassReason.SEVERAL_ANSWERS: CacheLevel.BYPASS,
    BypassReason.PERSONAL: CacheLevel.BYPASS,
    BypassReason.TIME_BOUND: CacheLevel.BYPASS,
    BypassReason.OTHER_LANGUAGE: CacheLevel.BYPASS,
    BypassReason.UNSURE_LANGUAGE: CacheLevel.EXACT,
    BypassReason.NAMES_A_PERSON: CacheLevel.EXACT,
    BypassReason.NOT_TEXT: CacheLevel.EXACT,
    BypassReason.NO_QUESTION: CacheLevel.EXACT,
    BypassReason.LONG_CONTEXT: CacheLevel.EXACT,
}
"""How far the cache goes where a reason holds; where several do, the least of their levels."""


_TURNS_READ: Final = 16
_TURN_FIELDS: Final = frozenset(["role", "content"])


class BypassRules(msgspec.Struct, frozen=True, kw_only=True):
    """How careful a deployment is.

    Parameters
    ----------
    levels
        Where they differ from `DEFAULT_LEVELS`: ``{BypassReason.TIME_BOUND: CacheLevel.EXACT}`` where entries do not
        live long, ``{BypassReason.OTHER_LANGUAGE: CacheLevel.FULL}`` where no request is personal.
    max_temperature
        A temperature above it bypasses. One that is not given is the provider's choice, not the caller's, and does not.
    """

    levels: Mapping[BypassReason, CacheLevel] = {}
    max_temperature: float = 1.0

    def level_of(self, reasons: frozenset[BypassReason] | tuple[BypassReason, ...]) -> CacheLevel:
        """Return how far the cache may go where all these reasons hold."""
        levels = (self.levels.get(reason, DEFAULT_LEVELS[reason]) for reason in reasons)
        return min(levels, default=CacheLevel.FULL)


class Bypass(msgspec.Struct, frozen=True):
    """The cache is to be left out of a request, with the reasons why."""

    reasons: tuple[BypassReason, ...]


class Verdict(msgspec.Struct, frozen=True):
    """How far the cache may go for a request, with everything that was found; a reason may hold without weighing.

    Parameters
    ----------
    level
        How far.
    reasons
        What was found.
    """

    level: CacheLevel
    reasons: tuple[BypassReason, ...] = ()


def shape_reasons(request: CacheRequest, max_temperature: float) -> list[BypassReason]:
    """Return the reasons that show without reading: in a request's fields, not in its words."""
    reasons = []
    parameters = request.parameters
    if request.level is CacheLevel.BYPASS:
        reasons.append(BypassReason.ASKED)
    if _uses_tools(request):
        reasons.append(BypassReason.TOOLS)
    if parameters:
        if _above(parameters.get("temperature"), max_temperature):
            reasons.append(BypassReason.TEMPERATURE)
        if _above(parameters.get("n"), 1):
            reasons.append(BypassReason.SEVERAL_ANSWERS)
    return reasons


def said_reasons(request: CacheRequest) -> list[BypassReason]:
    """Return the reasons in what was said, in canonical form: the user's earlier turns count, not only the last.

    A system prompt is the application's, and the same for everyone it is given to: it is not searched.
    """
    found: set[BypassReason] = set()
    asked = []
    for message in request.messages:
        if message.get("role") in SYSTEM_ROLES:
            continue
        content = message.get("content")
        text = text_of(content)
        if text is None or any(value for name, value in message.items() if name not in _TURN_FIELDS):
            found.add(BypassReason.NOT_TEXT)
            text = _readable(content)
        if message.get("role") == "user":
            if names_a_person(text):
                found.add(BypassReason.NAMES_A_PERSON)
            asked.append(instruction_of(text))
    asked = asked[-_TURNS_READ:]
    for instruction in asked:
        if is_personal(instruction):
            found.add(BypassReason.PERSONAL)
        if is_time_bound(instruction):
            found.add(BypassReason.TIME_BOUND)
    reading = reading_of(" ".join(asked))
    if reading != "english":
        found.add(BypassReason.OTHER_LANGUAGE if reading == "other" else BypassReason.UNSURE_LANGUAGE)
    last = request.messages[-1] if request.messages else {}
    if last.get("role") != "user" or not _readable(last.get("content")).strip():
        found.add(BypassReason.NO_QUESTION)
    return [reason for reason in BypassReason if reason in found]


def _uses_tools(request: CacheRequest) -> bool:
    parameters = request.parameters
    if "web_search_options" in parameters or parameters.get("plugins"):
        return True
    if (request.tools and parameters.get("tool_choice") != "none") or (
        parameters.get("functions") and parameters.get("function_call") != "none"
    ):
        return True
    return any(
        message.get("role") in ("tool", "function") or message.get("tool_calls") or message.get("function_call")
        for message in request.messages
    )


def _above(value: Any, bound: float) -> bool:
    return isinstance(value, int | float) and value > bound


def _readable(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))
