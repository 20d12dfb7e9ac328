"""What a text says that must not differ: numbers, dates, names, negations, who does what to whom, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from beast_ml.cache.verifier.lexicon import (
    COMMON,
    CONTRACTIONS,
    DATE_WORDS,
    DIRECTIONS,
    MONTHS,
    NEGATIONS,
    NUMBER_WORDS,
    QUESTION_WORDS,
    UNITS,
)

__all__ = ["TextFacts", "read_facts"]

_CLIP: Final = 2000
_KEPT: Final = 65_536

_TOKEN: Final = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[%$€£₹¥]|°[cCfF]")
_CODE: Final = re.compile(
    r"`[^`]+`|https?://\S+|(?<!\w)--?[A-Za-z][\w-]+|\b\w*[A-Za-z]\w*_\w+|\b[a-z]+[A-Z]\w*|\b[A-Za-z_]\w+\.[A-Za-z_]\w+|"
    r"\b\w+\(\)?|(?:/[\w.-]+){2,}|[!=<>]=|->|&&|\|\||\+\+|\bC\+\+|\bC#"
)
_ISO_DATE: Final = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_SUFFIX: Final = {"k": 1e3, "m": 1e6, "mn": 1e6, "bn": 1e9, "b": 1e9}
_SENTENCE_END: Final = frozenset(".!?:\n")
_MULTIPLIERS: Final = frozenset({"hundred", "thousand", "million", "billion", "lakh", "crore", "dozen"})


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What was read out of one text.

    Parameters
    ----------
    words
        Every word and number in order, lower-cased, contractions taken apart.
    content
        Those of them that are no common words, in order.
    numbers
        Values, wherever they were written as digits or words; no years.
    quantities
        (dimension, value in its base unit) of numbers with a unit.
    dates
        Years, months, days and words such as "tomorrow".
    names
        Capitalised words away from the beginning of a sentence, and acronyms, lower-cased.
    code
        Identifiers, flags, paths and operators as they are written.
    negations
        How many words negate.
    question
        First question word, with what follows "how" where that makes another question; "" where there is none.
    roles
        (word, direction word before it), for instance ("paris", "to").
    """

    words: tuple[str, ...]
    content: tuple[str, ...]
    numbers: frozenset[float]
    quantities: frozenset[tuple[str, float]]
    dates: frozenset[str]
    names: frozenset[str]
    code: frozenset[str]
    negations: int
    question: str
    roles: frozenset[tuple[str, str]]


@lru_cache(_KEPT)
def read_facts(text: str) -> TextFacts:
    """Return what a text says; only its first 2,000 characters are read.

    Examples
    --------
    >>> facts = read_facts("Don't fly from Paris to Rome within 2 hours")
    >>> facts.negations, sorted(facts.names), facts.quantities
    (1, ['paris', 'rome'], frozenset({('time', 7200.0)}))
    >>> sorted(facts.roles)
    [('paris', 'from'), ('rome', 'to')]
    """
    text = text[:_CLIP]
    found = [(match.group(), match.start()) for match in _TOKEN.finditer(text)]
    words = tuple(word for token, _ in found for word in _plain(token))
    content = tuple(word for word in words if word not in COMMON)
    numbers, quantities = _numbers(words)
    return TextFacts(
        words=words,
        content=content,
        numbers=frozenset(numbers),
        quantities=frozenset(quantities),
        dates=frozenset(_dates(text, words)),
        names=frozenset(_names(text, found)),
        code=frozenset(match.group().strip("`").rstrip("(") for match in _CODE.finditer(text)),
        negations=sum(word in NEGATIONS for word in words),
        question=_question(words),
        roles=frozenset(_roles(words)),
    )


def _plain(token: str) -> list[str]:
    """Return a token's words: "Don't" is do, not; "Anna's" is anna."""
    word = token.lower().replace("’", "'")
    if word in CONTRACTIONS:
        return CONTRACTIONS[word].split()
    if word.endswith("n't"):
        return [word[:-3], "not"]
    return [word.split("'")[0]] if "'" in word else [word]


def _value(word: str) -> float | None:
    if not word[0].isdigit():
        return NUMBER_WORDS.get(word)
    try:
        return float(word.replace(",", ""))
    except ValueError:  # 10:30, 1/2, 2024-05-01
        return None


def _numbers(words: tuple[str, ...]) -> tuple[list[float], list[tuple[str, float]]]:
    numbers: list[float] = []
    quantities: list[tuple[str, float]] = []
    skip = -1
    for i, word in enumerate(words):
        value = _value(word)
        if i <= skip or value is None:
            if value is None and word[0].isdigit():
                numbers.append(_stand_in(word))
            continue
        if word == "second" and (i == 0 or _value(words[i - 1]) is not None or words[i - 1] in ("a", "per", "each")):
            continue  # the unit
        j = i + 1
        if j < len(words) and word[0].isdigit() and words[j] in _SUFFIX and words[j] not in ("m",):
            value *= _SUFFIX[words[j]]
            j += 1
        while j < len(words) and words[j] in _MULTIPLIERS:
            value *= NUMBER_WORDS[words[j]]
            j += 1
        skip = j - 1
        unit = UNITS.get(words[j]) if j < len(words) else None
        if unit is None and i > 0 and words[i - 1] in ("$", "€", "£", "₹", "¥", "rs", "usd", "eur", "inr"):
            unit = UNITS[words[i - 1]]
        if unit is not None:
            quantities.append((unit[0], float(f"{value * unit[1]:.6g}")))
        if not _is_year(value, word):
            numbers.append(value)
    return numbers, quantities


def _stand_in(word: str) -> float:
    """Return a number that stands for what is no decimal (a time, a fraction, a version)."""
    return float(int.from_bytes(word.encode()[:6], "big"))


def _is_year(value: float, word: str) -> bool:
    return len(word) == 4 and word.isdigit() and 1800 <= value <= 2100


def _dates(text: str, words: tuple[str, ...]) -> Iterator[str]:
    for year, month, day in _ISO_DATE.findall(text):
        yield from (year, f"month {int(month)}", f"day {int(day)}")
    for i, word in enumerate(words):
        if word in DATE_WORDS:
            yield word.removesuffix("s")
        elif len(word) == 4 and word.isdigit() and 1800 <= int(word) <= 2100:
            yield word
        elif word in MONTHS and (
            word != "may" or (i > 0 and words[i - 1] in ("in", "of", "since", "by", "until", "on"))
        ):
            yield f"month {MONTHS[word]}"


def _names(text: str, found: list[tuple[str, int]]) -> Iterator[str]:
    for token, start in found:
        if not token[0].isupper() or token.lower() in COMMON:
            continue
        before = text[:start].rstrip(" \t\"'([")[-1:]
        begins = not before or before in _SENTENCE_END
        if (len(token) > 1 and token.isupper()) or not begins:
            yield token.lower().replace("’", "'").split("'")[0]


def _question(words: tuple[str, ...]) -> str:
    for i, word in enumerate(words):
        if word in QUESTION_WORDS:
            after = words[i + 1] if i + 1 < len(words) else ""
            return (
                f"how {after}" if word == "how" and after in ("many", "much", "long", "old", "often", "far") else word
            )
    return ""


def _roles(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield content words with the last direction word at most three words before them."""
    direction, at = "", -9
    for i, word in enumerate(words):
        if word in DIRECTIONS:
            direction, at = word, i
        elif word not in COMMON and direction and i - at <= 3:
            yield word, direction
            direction = ""
