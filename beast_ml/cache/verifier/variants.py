"""Texts changed by rule, to learn what changes an answer (another number, a negation) and what is only wording.

Labelled pairs are mostly about subjects; few differ in nothing but a number or a "not", and a verifier that has never
seen it serves the wrong answer. The changed texts are for training alone: thresholds are chosen on pairs as people
wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from beast_ml.cache.verifier.facts import read_facts
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.lexicon import COMMON, DATE_WORDS, MONTHS, NUMBER_WORDS, OPPOSITES, UNITS

__all__ = ["changed_pairs"]

Rng = np.random.Generator
_Rule = Callable[[str, Rng, Sequence[str]], str | None]

_NUMBER: Final = re.compile(r"(?<![\w.])\d{1,6}(?![\w]|[.,:/-]\d)")
_WORD: Final = re.compile(r"[A-Za-z]+")
_AUXILIARY: Final = re.compile(r"\b(is|are|can|do|does|should|will|would|could|did|was|were|must|has|have)\b", re.I)
_NOT: Final = re.compile(r"\s+not\b|n['’]t\b", re.I)
_ROUND_WORD: Final = re.compile(
    r"\b(?P<left>\w{3,})(?P<middle>\s+(?:to|into|than|over|before|after|by|with|against)\s+(?:an?\s+|the\s+)?)(?P<right>\w{3,})\b"
)
_PARTNERS: Final = {word: sorted(OPPOSITES[word]) for word in sorted(OPPOSITES.keys() - COMMON)}
_WEEKDAYS: Final = sorted(
    word
    for word in DATE_WORDS
    if word.endswith("day") and word[:3] in "monday tuesday wednesday thursday friday saturday sunday"
)
_MONTHS: Final = sorted(word for word in MONTHS if len(word) > 4)
_SPOKEN: Final = {
    int(value): word
    for word, value in NUMBER_WORDS.items()
    if value == int(value)
    and value < 20
    and len(word) > 2
    and word
    not in ("once", "twice", "double", "triple", "first", "second", "third", "fourth", "fifth", "single", "dozen")
}
_SHORTER: Final = {
    "what is": "what's",
    "do not": "don't",
    "does not": "doesn't",
    "is not": "isn't",
    "cannot": "can't",
    "i am": "i'm",
    "it is": "it's",
    "hours": "hrs",
    "kilometers": "km",
    "kilograms": "kg",
    "percent": "%",
    "application": "app",
    "because": "since",
    "difference between": "differences between",
    "best way": "best method",
    "how do i": "how can i",
    "how can i": "how do i",
    "how to": "how do I",
}
_POLITE: Final = (
    "Please tell me: {}",
    "Hi, {}",
    "Hello! {}",
    "Can you tell me, {}",
    "{} Thanks!",
    "{} please",
    "Quick question: {}",
    "I wonder: {}",
)


def _pick(options: Sequence[str], rng: Rng) -> str:
    return options[int(rng.integers(len(options)))]


def _place(text: str, match: re.Match[str], new: str) -> str:
    old = match.group()
    return text[: match.start()] + (new.capitalize() if old[:1].isupper() else new) + text[match.end() :]


def _matching(pattern: re.Pattern[str], text: str, rng: Rng, wanted: Callable[[str], bool]) -> re.Match[str] | None:
    found = [match for match in pattern.finditer(text) if wanted(match.group().lower())]
    return found[int(rng.integers(len(found)))] if found else None


def _other_number(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_NUMBER, text, rng, lambda _: True)
    if match is None:
        return None
    value = int(match.group())
    near = [value + 1, value + int(rng.integers(2, 9)), value * 2, value * 10, max(value - 1, 0), value // 2]
    options = [str(other) for other in near if other != value]
    return text[: match.start()] + _pick(options, rng) + text[match.end() :]


def _other_date(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_WORD, text, rng, lambda word: word in _MONTHS or word in _WEEKDAYS)
    if match is None:
        return None
    options = _MONTHS if match.group().lower() in _MONTHS else _WEEKDAYS
    return _place(text, match, _pick([word for word in options if word != match.group().lower()], rng))


def _negated(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    if _NOT.search(text):
        return _NOT.sub("", text, count=1)
    match = _AUXILIARY.search(text)
    if match is None or match.start() == 0:  # "Isn't it ..." asks the same
        return None
    return f"{text[: match.end()]} not{text[match.end() :]}"


def _turned(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_WORD, text, rng, lambda word: word in _PARTNERS)
    return None if match is None else _place(text, match, _pick(_PARTNERS[match.group().lower()], rng))


def _swapped(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    found = [
        match
        for match in _ROUND_WORD.finditer(text)
        if not {match["left"].lower(), match["right"].lower()} & COMMON
        and match["left"].lower() != match["right"].lower()
    ]
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    return f"{text[: match.start()]}{match['right']}{match['middle']}{match['left']}{text[match.end() :]}"


def _other_name(text: str, rng: Rng, names: Sequence[str]) -> str | None:
    own = read_facts(text).names
    match = _matching(_WORD, text, rng, lambda word: word in own)
    options = [name for name in (_pick(names, rng) for _ in range(4)) if name not in own] if names else []
    return None if match is None or not options else _place(text, match, options[0].capitalize())


def _other_unit(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_WORD, text, rng, lambda word: len(word) > 3 and word in UNITS)
    if match is None:
        return None
    dimension, size = UNITS[match.group().lower()]
    options = [name for name, (of, scale) in UNITS.items() if of == dimension and scale != size and len(name) > 3]
    return _place(text, match, _pick(options, rng)) if options else None


def _other_case(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    changed = _pick(
        [text.lower(), text.rstrip("?.! "), f"{text}?", text.lower().rstrip("?.! "), text.capitalize()], rng
    )
    return changed if changed != text else None


def _polite(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    return _pick(_POLITE, rng).format(text)


def _typo(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_WORD, text, rng, lambda word: len(word) > 6 and word not in read_facts(text).names)
    if match is None:
        return None
    word, at = match.group(), int(rng.integers(2, len(match.group()) - 2))
    return text[: match.start()] + word[:at] + word[at + 1] + word[at] + word[at + 2 :] + text[match.end() :]


def _reworded(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    lowered = text.lower()
    options = [(long, short) for long, short in _SHORTER.items() if f" {long} " in f" {lowered} "]
    if not options:
        return None
    long, short = options[int(rng.integers(len(options)))]
    at = f" {lowered} ".index(f" {long} ")
    return text[:at] + short + text[at + len(long) :]


def _spoken(text: str, rng: Rng, _: Sequence[str]) -> str | None:
    match = _matching(_NUMBER, text, rng, lambda digits: int(digits) in _SPOKEN)
    return None if match is None else text[: match.start()] + _SPOKEN[int(match.group())] + text[match.end() :]


_DIFFERENT: Final[tuple[_Rule, ...]] = (
    _other_number,
    _other_date,
    _negated,
    _turned,
    _swapped,
    _other_name,
    _other_unit,
)
_SAME: Final[tuple[_Rule, ...]] = (_other_case, _polite, _typo, _reworded, _spoken)


def changed_pairs(texts: Sequence[str], n: int, rng: Rng) -> LabelledPairs:
    """Return about n pairs of a text and a changed one: three in five with another answer, the rest with the same.

    Parameters
    ----------
    texts
        To change.
    n
        How many pairs; fewer where the texts offer less to change.
    rng
        Draws texts and changes.
    """
    if not texts:
        return LabelledPairs((), (), np.zeros(0, dtype=bool))
    names = sorted(
        {name for text in texts[:5000] for name in read_facts(text).names if name.isalpha() and len(name) > 2}
    )
    made: dict[tuple[str, str], bool] = {}
    for place in rng.integers(len(texts), size=4 * n).tolist():
        if len(made) >= n:
            break
        text, same = texts[place], bool(rng.random() < 0.4)
        rules = _SAME if same else _DIFFERENT
        changes = [changed for rule in rules if (changed := rule(text, rng, names)) is not None and changed != text]
        if changes:
            made[text, _pick(changes, rng)] = same
    return LabelledPairs(
        tuple(a for a, _ in made), tuple(b for _, b in made), np.fromiter(made.values(), dtype=bool, count=len(made))
    )
