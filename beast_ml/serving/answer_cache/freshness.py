"""How long answers stay right: a share of the hits of equal requests is answered anew, and the two are compared.

What is learnt of it, by kind of request, is what `beast cache lives` fits lives to.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.cache.hit import Hit
from beast_ml.cache.lifetimes import AnswerAge
from beast_ml.errors import DataError
from beast_ml.serving.answer_cache.judges import Doubt
from beast_ml.serving.answer_cache.verdicts import Verdicts

__all__ = ["AGES_FILE", "Freshness", "read_ages"]

AGES_FILE: Final = "cache-ages.jsonl"
"""In the state folder: one `AnswerAge` a line."""

_MOST_BYTES: Final = 16 << 20
"""Of the file; then it is moved aside, in place of the one that was before."""


class Freshness:
    """Picks hits whose answer is made anew, and writes down what came of it.

    Parameters
    ----------
    verdicts
        Judges.
    share
        Probability with which a hit is picked.
    file
        Where to write.
    draw
        Returns a number from 0 to 1.
    """

    def __init__(self, verdicts: Verdicts, share: float, file: Path, draw: Callable[[], float] = random.random) -> None:
        self._verdicts, self._share, self._file, self._draw = verdicts, share, file, draw

    def picks(self, hit: Hit, models: Collection[str] | None = None) -> bool:
        """Whether a hit is answered anew: never where the judge is not among the models that may see its text."""
        if hit.kind == "semantic" or hit.entry.kind != "answer" or not self._verdicts.judge.may_see(models):
            return False
        return self._draw() < self._share

    def answered(self, hit: Hit, tenant: str, now: float, fresh: bytes | None) -> None:
        """Have the answer of a hit judged by the new one; without a verdict nothing is learnt of it.

        Parameters
        ----------
        hit, tenant
            What was found, and whose it is.
        now
            When, in seconds since the epoch.
        fresh
            The new completion; None: there is none that could be compared.
        """
        entry = hit.entry

        async def told(wrong: bool | None) -> None:
            if wrong is None:
                return
            age = AnswerAge(entry.request_kind or "", max(0.0, now - entry.created_at), not wrong)
            await asyncio.to_thread(self._write, age)

        if fresh is None:
            self._verdicts.lost("exact", told)
        else:
            self._verdicts.ask("exact", Doubt(tenant, entry.key.text or "", fresh, entry.answer), told)

    def _write(self, age: AnswerAge) -> None:
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size > _MOST_BYTES:
                self._file.replace(self._file.with_suffix(".old.jsonl"))
            os.write(descriptor, msgspec.json.encode(age) + b"\n")  # whole, whoever else appends
        finally:
            os.close(descriptor)


def read_ages(state: Path) -> list[AnswerAge]:
    """Return what is known of how answers age, from a host's state folder.

    Raises
    ------
    DataError
        If a file is damaged in more than its last line.
    """
    found: list[AnswerAge] = []
    for name in (Path(AGES_FILE).with_suffix(".old.jsonl").name, AGES_FILE):
        file = state / name
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                found.append(msgspec.json.decode(line, type=AnswerAge))
            except msgspec.MsgspecError as error:
                if number == len(lines) and not line.endswith(b"\n"):  # being written
                    continue
                raise DataError(f"line {number} of {file} says nothing of an answer's age: {error}") from error
    return found
