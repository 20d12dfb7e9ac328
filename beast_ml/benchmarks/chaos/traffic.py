"""Requests of several tenants, and what became of each: who asked what, what came back, and under which id."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.benchmarks.serving.load_plan import Answered
from beast_ml.benchmarks.serving.payloads import chats, write_bodies

__all__ = ["TENANTS", "TIGHT", "AnswerFile", "Ask", "Reply", "asks", "reply_of", "write_asks"]

TENANTS: Final = ("acme", "bolt", "crumb")
"""Who asks, in turn."""

TIGHT: Final = "crumb"
"""The one whose budget is always nearly spent."""

_N_SHARED: Final = 40
_SHARED_RATE: Final = 0.3
_MODEL: Final = "beast"
_MAX_TOKENS: Final = 256
_ECHO: Final = re.compile(r"call (\d+): (.*)", re.DOTALL)
_decode: Final = msgspec.json.Decoder(Answered).decode


class Ask(msgspec.Struct, frozen=True):
    """One request.

    Parameters
    ----------
    tenant, prompt
        Who asks, and what.
    """

    tenant: str
    prompt: str


@dataclass(frozen=True)
class Reply:
    """A request and what became of it.

    Parameters
    ----------
    ask, answered
        Both.
    request_id
        Under which it is on record; empty where none was told.
    call
        Number of the provider's call that gave the answer; None where nothing was answered, or not by the provider.
    echoed
        The prompt that was answered, as the provider got it.
    cache
        ``hit``, ``miss``, ``bypass``, or empty.
    kind
        Of a hit; of a refusal, what it is called.
    """

    ask: Ask
    answered: Answered
    request_id: str
    call: int | None
    echoed: str | None
    cache: str
    kind: str

    @cached_property
    def is_answered(self) -> bool:
        """Whether it was answered with 2xx."""
        return 200 <= self.answered.status < 300

    @cached_property
    def is_as_wanted(self) -> bool:
        """Whether it was answered, or refused because the tight budget was spent, as it ought to be."""
        return self.is_answered or (self.answered.status == 402 and self.ask.tenant == TIGHT)


def asks(base: Sequence[str], n_asks: int, rng: np.random.Generator) -> Iterator[Ask]:
    """Yield requests of the tenants in turn: some of prompts that all of them ask, the others of ones asked once.

    What a prompt is about comes from ``base``; a number makes it one of a kind, and comes first, for a tight budget
    may cut the answer.
    """
    shared = rng.random(n_asks) < _SHARED_RATE
    which = rng.integers(_N_SHARED, size=n_asks)
    for i in range(n_asks):
        head, about = (f"Shared {which[i]}", which[i]) if shared[i] else (f"Number {i}", i)
        yield Ask(TENANTS[i % len(TENANTS)], f"{head}: {base[about % len(base)]}")


def write_asks(path: Path, asked: Sequence[Ask]) -> None:
    """Write the bodies of requests; whose each is says its key."""
    bodies = chats((ask.prompt for ask in asked), _MODEL)
    write_bodies(path, ({**body, "max_tokens": _MAX_TOKENS} for body in bodies))


class AnswerFile:
    """What a load generator writes down as requests end, read as it grows.

    Parameters
    ----------
    path
        The file.
    asked
        The requests in the order in which they are sent; they begin again at the end.
    """

    def __init__(self, path: Path, asked: Sequence[Ask]) -> None:
        self._path, self._asked = path, asked
        self._read = 0
        self.replies: list[Reply] = []

    def look(self) -> list[Reply]:
        """Return what ended since the last look."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._read += len(whole) + 1
        new = [_decode(line) for line in whole.split(b"\n")]
        found = [reply_of(self._asked[one.n % len(self._asked)], one) for one in new]
        self.replies += found
        return found


def reply_of(ask: Ask, answered: Answered) -> Reply:
    """Return a request with what is in its answer."""
    headers = _headers(answered.head)
    told = _body(answered.body)
    request_id = headers.get("x-beast-request-id") or str(told.get("request_id") or "")
    echo = _ECHO.fullmatch(_content(told))
    return Reply(
        ask,
        answered,
        request_id,
        int(echo[1]) if echo else None,
        echo[2] if echo else None,
        headers.get("x-beast-cache", ""),
        headers.get("x-beast-cache-kind") or str(told.get("kind") or ""),
    )


def _headers(head: str) -> Mapping[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


def _body(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _content(told: Mapping[str, Any]) -> str:
    try:
        return str(told["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        return ""
