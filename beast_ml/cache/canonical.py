"""One form for requests that are the same: JSON with sorted names and one way to write a number."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from beast_ml.cache.request import NOT_SHAPING
from beast_ml.errors import InputError

__all__ = ["DEFAULTS", "canonical", "composed", "encoded", "framed", "repeats_a_name", "shaping"]

DEFAULTS: Final[Mapping[str, Any]] = {
    "temperature": 1,
    "top_p": 1,
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "stop": None,
    "seed": None,
    "max_tokens": None,
    "max_completion_tokens": None,
    "top_logprobs": None,
    "reasoning_effort": None,
    "verbosity": None,
    "parallel_tool_calls": True,
    "modalities": ["text"],
}
"""What OpenAI's chat API takes where a parameter is absent. For these, null is the same as absent, too."""

_EXACT_INTEGERS: Final = 2**53

_encode = msgspec.json.Encoder(order="deterministic").encode


def canonical(value: Any) -> Any:
    """Return a JSON value with whole floats as integers.

    Text is left as it is: how many bytes a word has depends on whether its letters are composed.

    Raises
    ------
    InputError
        If it is no JSON value: a name that is no string, a number that is not finite, nesting beyond reason.
    """
    try:
        return _canonical(value)
    except RecursionError:
        raise InputError("a request is nested too deeply for the cache: send it with the cache bypassed") from None


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        return _object(value)
    if kind is list or kind is tuple:
        return [_canonical(item) for item in value]
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise InputError(f"a request holds the number {value}, which JSON has not: send a finite one")
        return int(value) if value.is_integer() and abs(value) < _EXACT_INTEGERS else value
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, str):
        return _canonical(str(value))
    raise InputError(f"a request holds a {kind.__name__}, which JSON has not: decode requests from JSON")


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, item in value.items():
        if type(name) is not str and not isinstance(name, str):
            raise InputError(f"a request holds the name {name!r}, which JSON has not: names are strings")
        made[name] = item if type(item) is str else _canonical(item)
    return made


def composed(value: Any) -> Any:
    """Return a canonical value with its texts, but not its names, composed (NFC): as it is read, not as it is sent."""
    if type(value) is str:
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if type(value) is dict:
        return {name: composed(item) for name, item in value.items()}
    return [composed(item) for item in value] if type(value) is list else value


def shaping(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that shape the answer, in canonical form, without those that say what holds anyway.

    Names that are not known here are kept, whatever their values.

    Examples
    --------
    >>> shaping({"temperature": 1.0, "top_p": 0.5, "stream": True, "new_field": None})
    {'top_p': 0.5, 'new_field': None}
    """
    kept = {}
    for name, value in parameters.items():
        if name in NOT_SHAPING:
            continue
        if name in DEFAULTS:
            if value is None:
                continue
            default = DEFAULTS[name]
            if value == default and isinstance(value, bool) is isinstance(default, bool):
                continue
        kept[name] = value
    return canonical(kept) if kept else kept


def encoded(value: Any) -> bytes:
    """Return a canonical value as JSON with sorted names: equal bytes exactly for equal values.

    Raises
    ------
    InputError
        If it holds text that no UTF-8 can write (a lone surrogate).
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        raise InputError("a request holds half a character (a lone surrogate): send whole ones") from None


def framed(*parts: bytes) -> bytes:
    """Return the parts, each after its length: no two different sequences give the same bytes.

    Examples
    --------
    >>> framed(b"ab", b"c") == framed(b"a", b"bc")
    False
    """
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(8, "big"), part))


def repeats_a_name(body: bytes) -> bool:
    """Return whether an object in a JSON text has a name twice.

    Of such a name decoders take the last value, and a provider that is sent the text may take the first: its answer is
    to another question than the key says, and must not be kept. For the store path; it costs more than a key.

    Examples
    --------
    >>> repeats_a_name(b'{"role": "user", "content": "a", "content": "b"}')
    True
    """
    repeated = []

    def watched(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = dict(pairs)
        repeated.append(len(names) < len(pairs))
        return names

    json.loads(body, object_pairs_hook=watched)
    return any(repeated)
