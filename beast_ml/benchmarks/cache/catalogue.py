"""What a stream's requests ask: questions in several wordings, some with a twin that is alike and means another."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.errors import DataError

__all__ = ["Question", "generated_questions", "labelled_questions"]

_WORD: Final = re.compile(r"[a-z0-9]+")
_MOST_WORDINGS: Final = 8
_ALIKE: Final = 0.6  # share of words that a twin has in common


@dataclass(frozen=True)
class Question:
    """Something that is asked, in the words of several people.

    Parameters
    ----------
    wordings
        All of them take the same answer; the first is the usual one.
    twin
        Place in the catalogue of a question that is alike and takes another answer; None if there is none.
    """

    wordings: tuple[str, ...]
    twin: int | None = None


def labelled_questions(pairs: Path, n: int, rng: np.random.Generator) -> list[Question]:
    """Return questions from pairs that people labelled (``cache_qqp``), twins first, then those asked in most wordings.

    Duplicates of duplicates count as duplicates, as long as nobody labelled the two as different. A twin is a labelled
    non-duplicate that shares most of its words.

    Parameters
    ----------
    pairs
        A Parquet file with ``text_a, text_b, is_duplicate``.
    n
        How many.
    rng
        Chooses among equals.

    Raises
    ------
    DataError
        If there are fewer.
    """
    import pandas as pd

    frame = pd.read_parquet(pairs, columns=["text_a", "text_b", "is_duplicate"])
    a, b = frame["text_a"].str.strip(), frame["text_b"].str.strip()
    same = frame["is_duplicate"].to_numpy(dtype=bool)
    different = {frozenset(pair) for pair in zip(a[~same], b[~same], strict=True)}
    groups = _Groups(different)
    for left, right in zip(a[same], b[same], strict=True):
        groups.join(left, right)
    alike = [
        (left, right)
        for left, right in zip(a[~same], b[~same], strict=True)
        if _shared_words(left, right) >= _ALIKE and groups.group_of(left) != groups.group_of(right)
    ]
    members: dict[str, list[str]] = defaultdict(list)
    for text in groups.texts():
        members[groups.group_of(text)].append(text)
    twins: dict[str, str] = {}
    for i in rng.permutation(len(alike)):
        left, right = (groups.group_of(text) for text in alike[i])
        if left not in twins and right not in twins and max(len(members[left]), len(members[right])) > 1:
            twins[left], twins[right] = right, left
    order = sorted(members, key=lambda group: (-len(members[group]), group))
    chosen = list(dict.fromkeys([g for pair in list(twins.items())[: 2 * (n // 3)] for g in pair] + order))[:n]
    if len(chosen) < n:
        raise DataError(f"{pairs} holds {len(chosen)} questions, fewer than the {n} asked for: ask for fewer")
    chosen = [chosen[i] for i in rng.permutation(n)]
    place = {group: i for i, group in enumerate(chosen)}
    return [
        Question(tuple((members[group] or [group])[:_MOST_WORDINGS]), place.get(twins.get(group, "")))
        for group in chosen
    ]


def generated_questions(n: int, rng: np.random.Generator) -> list[Question]:
    """Return made-up questions for where no labelled pairs are at hand; every second one is the twin of the one before.

    Twins differ in a number, a negation or a direction.
    """
    things = ["invoice", "password", "subscription", "delivery", "passport", "laptop", "contract", "ticket", "payment"]
    places = ["Berlin", "Oslo", "Lima", "Kyoto", "Quito", "Dakar", "Perth", "Turin", "Leeds", "Basel"]
    questions = []
    for i in range(n):
        twin = i + 1 if i % 2 == 0 else i - 1
        pair = i // 2
        thing, place = things[pair % len(things)], places[pair // len(things) % len(places)]
        number = 100 + pair + (i % 2) * 10
        style = pair % 3
        if style == 0:
            core, wordings = (
                f"{thing} {number} in {place}",
                ("how do I change the {}", "what must I do to change the {}"),
            )
        elif style == 1:
            verb = ("enable", "disable")[i % 2]
            core, wordings = (
                f"{thing} {100 + pair} in {place}",
                (f"how do I {verb} the {{}}", f"steps to {verb} the {{}}"),
            )
        else:
            to = ("from {0} to Rome", "from Rome to {0}")[i % 2].format(place)
            core, wordings = (
                f"{thing} {100 + pair} {to}",
                ("how long does it take to send the {}", "time to send the {}"),
            )
        said = [wording.format(core) for wording in wordings]
        order = rng.permutation(len(said))
        questions.append(Question(tuple(said[j] for j in order), twin if twin < n else None))
    return questions


class _Groups:
    """Joins duplicates, unless that would put two into one group that somebody labelled as different."""

    def __init__(self, different: set[frozenset[str]]) -> None:
        self._group: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        self._different = different

    def texts(self) -> list[str]:
        return list(self._group)

    def group_of(self, text: str) -> str:
        return self._group.get(text, text)

    def join(self, left: str, right: str) -> None:
        a, b = self.group_of(left), self.group_of(right)
        if a == b:
            return
        ours, theirs = self._members.get(a, [a]), self._members.get(b, [b])
        if len(ours) + len(theirs) > _MOST_WORDINGS:
            return
        if any(frozenset((x, y)) in self._different for x in ours for y in theirs):
            return
        self._members[a] = ours + theirs
        self._members.pop(b, None)
        self._group.update(dict.fromkeys([*ours, *theirs], a))


def _shared_words(left: str, right: str) -> float:
    a, b = set(_WORD.findall(left.lower())), set(_WORD.findall(right.lower()))
    return len(a & b) / max(1, len(a | b))
