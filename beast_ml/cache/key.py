"""The keys of a request: exact at once, normalised and semantic when exact has missed.

request -> exact -> (missed) -> verdict -> full
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from beast_ml.cache.bypass import Bypass, BypassReason, BypassRules, Verdict, said_reasons, shape_reasons
from beast_ml.cache.canonical import canonical, composed, encoded, framed, shaping
from beast_ml.cache.entry import CacheKey
from beast_ml.cache.normalise import normalised_text
from beast_ml.cache.request import SYSTEM_ROLES, CacheLevel, CacheRequest, text_of
from beast_ml.cache.turn_text import outline, turn_text
from beast_ml.errors import InputError

__all__ = ["REQUEST_ID_LINE", "TIMESTAMP_LINE", "ExactKey", "KeyMaker", "KeyRules"]

_DIGEST_BYTES: Final = 16
_MIN_SECRET_BYTES: Final = 16
_FORMAT: Final = b"beast-cache-key-2"
"""Part of every key: raise it with any change of what a key is made from, and older entries are never found again."""

REQUEST_ID_LINE: Final = (
    r"(?im)^[ \t]*[\[(]?(?:x-)?(?:request|trace|correlation|span)[ _-]?id[ \t]*[:=][ \t]*[\w-]{8,64}[\])]?[ \t]*$\n?"
)
"""For `KeyRules.volatile`: a line that only carries the id of a request."""
TIMESTAMP_LINE: Final = (
    r"(?im)^[ \t]*(?:the )?current (?:date and time|datetime|timestamp|time)(?: is)?[ \t]*[:=]?[ \t]*"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| ?UTC|[+-]\d\d:?\d\d)?\.?[ \t]*$\n?"
)
"""For `KeyRules.volatile`: a line that only carries the time at which a request is made."""


class KeyRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment puts into its keys.

    Parameters
    ----------
    bypass
        How careful it is.
    volatile
        Patterns of what its applications write into every prompt anew and no answer depends on: ids of requests, the
        time. Exact keys keep it; partition, normalised form and text go without it. Nothing is volatile by itself: an
        id or a time may be just what is asked about, and only who writes the prompt knows. See `REQUEST_ID_LINE` and
        `TIMESTAMP_LINE`.
    per_user
        Whether users of a tenant have partitions of their own; requests without a user then share one.
    """

    bypass: BypassRules = BypassRules()
    volatile: tuple[str, ...] = ()
    per_user: bool = False


class ExactKey(msgspec.Struct, frozen=True):
    """Enough to look up an equal request's answer, and not enough to keep one.

    Parameters
    ----------
    partition, exact
        As in `beast_ml.cache.entry.CacheKey`.
    """

    partition: bytes
    exact: bytes


class KeyMaker:
    """Makes the keys of one deployment.

    An entry can only be kept under what `full` returns, so whatever `exact` finds has once been found fit to be kept:
    requests of one exact key are fit or not alike. That is why `exact` need not read the words.

    Parameters
    ----------
    secret
        At least 16 bytes, the same on all hosts that share tiers and in no place where keys are: without it nobody
        can try prompts against keys.
    rules
        What goes into the keys.

    Raises
    ------
    InputError
        If the secret is short, or a pattern is none.

    Examples
    --------
    >>> maker = KeyMaker(b"sixteen bytes...")
    >>> ask = lambda prompt: maker.full(CacheRequest.of_prompt("acme", prompt))
    >>> ask("What is entropy?").normalised == ask("what is  entropy").normalised
    True
    >>> ask("Where is my order?")
    Bypass(reasons=(<BypassReason.PERSONAL: 'personal'>,))
    """

    def __init__(self, secret: bytes, rules: KeyRules | None = None) -> None:
        if len(secret) < _MIN_SECRET_BYTES:
            raise InputError(
                f"the cache's secret has {len(secret)} bytes: give at least {_MIN_SECRET_BYTES} random ones"
            )
        self.rules = rules or KeyRules()
        self._volatile = [_pattern(source) for source in self.rules.volatile]
        _refuse_shared_personal_answers(self.rules)
        key = secret if len(secret) <= blake2b.MAX_KEY_SIZE else blake2b(secret).digest()
        rules_seen = encoded(canonical(msgspec.to_builtins(self.rules)))  # stricter rules must not find laxer entries
        self._partition, self._exact, self._normalised, self._heard = (
            blake2b(framed(_FORMAT, rules_seen), key=key, digest_size=_DIGEST_BYTES, person=person)
            for person in (b"partition", b"exact", b"normalised", b"heard")
        )

    def exact(self, request: CacheRequest) -> ExactKey | Bypass:
        """Return the key of equal requests, or why the cache is to be left out, as far as that shows without reading.

        Raises
        ------
        InputError
            If the request is no JSON value; see `canonical`.
        """
        reasons = shape_reasons(request, self.rules.bypass.max_temperature)
        if reasons and self.rules.bypass.level_of(tuple(reasons)) is CacheLevel.BYPASS:
            return Bypass(tuple(reasons))
        messages = canonical(request.messages)
        partition = self._partition.copy()
        partition.update(framed(encoded(self._shape(request, messages))))
        exact = self._exact.copy()
        exact.update(framed(partition.digest(), encoded(messages)))
        return ExactKey(partition.digest(), exact.digest())

    def full(self, request: CacheRequest, exact: ExactKey | None = None) -> CacheKey | Bypass:
        """Return all keys of a request, or why the cache is to be left out.

        Parameters
        ----------
        request
            What is asked.
        exact
            As `exact` returned it for this request, to spare making it again.

        Raises
        ------
        InputError
            If the request is no JSON value.
        """
        made = self.exact(request) if exact is None else exact
        if isinstance(made, Bypass):
            return made
        messages = canonical(request.messages)
        read = composed(messages)
        verdict = self._verdict(request, read)
        if verdict.level is CacheLevel.BYPASS:
            return Bypass(verdict.reasons)
        normalised, text, heard = made.exact, None, b""
        if verdict.level is CacheLevel.FULL:
            hashed = self._normalised.copy()
            hashed.update(framed(made.partition, encoded([self._normalised_message(message) for message in messages])))
            normalised, text, heard = hashed.digest(), self._text(read), self._heard_by(made.partition, messages)
        return CacheKey(
            tenant_id=request.tenant_id,
            partition=made.partition,
            exact=made.exact,
            normalised=normalised,
            text=text,
            heard=heard,
        )

    def verdict(self, request: CacheRequest) -> Verdict:
        """Return how far the cache may go for a request, with all the reasons."""
        return self._verdict(request, composed(canonical(request.messages)))

    def _verdict(self, request: CacheRequest, messages: list[dict[str, Any]]) -> Verdict:
        read = msgspec.structs.replace(request, messages=messages)
        reasons = [*shape_reasons(read, self.rules.bypass.max_temperature), *said_reasons(read)]
        if BypassReason.NO_QUESTION not in reasons and self._text(messages) is None:
            reasons.append(BypassReason.LONG_CONTEXT)
        level = min(request.level, self.rules.bypass.level_of(tuple(reasons)))
        if request.level is CacheLevel.EXACT:
            reasons.insert(0, BypassReason.ASKED)
        return Verdict(level, tuple(reasons))

    def _shape(self, request: CacheRequest, messages: list[dict[str, Any]]) -> list[Any]:
        tools = canonical(request.tools) if request.tools else None
        told = request.response_format
        return [
            request.tenant_id,
            request.user_id if self.rules.per_user else None,
            canonical(request.policy),
            shaping(request.parameters),
            tools,
            None if told is None or told == {"type": "text"} else canonical(told),
            canonical(request.context) if request.context else None,
            request.documents or None,
            [self._settled(message) for message in messages if message.get("role") in SYSTEM_ROLES],
        ]

    def _normalised_message(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("role") in SYSTEM_ROLES:
            return {"role": "system"}  # what it says is in the partition; here it keeps its place
        if message.get("role") != "user":
            return message
        text = text_of(message.get("content"))
        return message if text is None else {**message, "content": normalised_text(self._without_volatile(text))}

    def _heard_by(self, partition: bytes, messages: list[dict[str, Any]]) -> bytes:
        said = outline(messages)
        if not said:
            return b""
        hashed = self._heard.copy()
        hashed.update(framed(partition, encoded(said)))
        return hashed.digest()

    def _settled(self, message: dict[str, Any]) -> dict[str, Any]:
        text = text_of(message.get("content")) if self._volatile else None
        return message if text is None else {**message, "content": self._without_volatile(text)}

    def _without_volatile(self, text: str) -> str:
        for pattern in self._volatile:
            text = pattern.sub("", text)
        return text

    def _text(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        text = turn_text(messages)
        return text if text is None else self._without_volatile(text)


def _pattern(source: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise InputError(f"the volatile pattern {source!r} is none ({error}): mend or remove it") from None
    if pattern.search("") is not None:
        raise InputError(f"the volatile pattern {source!r} matches an empty text: make it say what is volatile")
    return pattern


def _refuse_shared_personal_answers(rules: KeyRules) -> None:
    level = rules.bypass.level_of((BypassReason.PERSONAL,))
    if level is not CacheLevel.BYPASS and not rules.per_user:
        raise InputError(
            "personal answers are to be kept while users share partitions: set `per_user`, or let those requests bypass"
        )
