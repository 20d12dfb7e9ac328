"""What is said over the socket: messages in MessagePack, each after four bytes of its length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeVar

import msgspec

from beast_ml.cache.index.partition import Neighbour
from beast_ml.errors import DataError

__all__ = [
    "Add",
    "Done",
    "Figures",
    "Found",
    "FrameReader",
    "Lookup",
    "NewEntry",
    "Outcome",
    "Rebuild",
    "Refused",
    "Remove",
    "Reply",
    "Request",
    "Stats",
    "Verified",
    "Welcome",
    "frame",
]

MAX_FRAME_BYTES: Final = 4_000_000
_LENGTH_BYTES: Final = 4

Outcome = Literal["searched", "gated", "overloaded", "late", "away"]
"""What became of a lookup: its neighbours were looked for; the static gate said there are none; or nobody looked,
because too many wait, it would be too late, or there is no process that could."""


class NewEntry(msgspec.Struct, frozen=True, array_like=True):
    """An entry to be found from now on; see `beast_ml.cache.entry.CacheKey` for partition and text.

    Parameters
    ----------
    entry_id
        By which it is found.
    """

    entry_id: str
    partition: bytes
    text: str


class Lookup(msgspec.Struct, frozen=True, tag="lookup"):
    """Ask which entries of a partition are near a text.

    Parameters
    ----------
    id
        Of the message: its reply has the same.
    partition, text
        Where to look, and near what.
    k
        How many are wanted.
    within_s
        Seconds after which nobody waits for the answer.
    gated
        Whether the static gate may answer.
    vectors
        Whether the vectors of the text and of its neighbours are wanted, too.
    tenant
        Whose partition it is: says by which threshold it is served.
    """

    id: int
    partition: bytes
    text: str
    k: int
    within_s: float
    gated: bool = True
    vectors: bool = False
    tenant: str = ""


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Take entries in, when there is time; the reply says how many there was room for.

    Parameters
    ----------
    id
        Of the message; the reply has it, too.
    """

    id: int
    entries: list[NewEntry]


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    """Forget entries, or all of some partitions.

    Parameters
    ----------
    id
        Of the message; the reply has it, too.
    entry_ids
        Which entries.
    """

    id: int
    entry_ids: list[str]
    partitions: list[bytes] = []


class Rebuild(msgspec.Struct, frozen=True, tag="rebuild"):
    """Begin or end to name all entries that there are; at the end those that were not named are forgotten.

    Parameters
    ----------
    id
        Of the message; the reply has it, too.
    ended
        It ends; else it begins.
    """

    id: int
    ended: bool


class Verified(msgspec.Struct, frozen=True, tag="verified"):
    """Take note of a lookup that was picked to be verified, and of those before it that were not.

    Parameters
    ----------
    id, partition, tenant
        Of the message, and of the lookup.
    score
        Of its best candidate.
    wrong
        Whether that candidate's answer would have been wrong; None: no verdict came.
    probability
        With which the lookup was picked to be verified.
    unverified
        Lookups of this partition that were not picked, since the one before it that was.
    """

    id: int
    partition: bytes
    tenant: str
    score: float
    wrong: bool | None
    probability: float
    unverified: int = 0


class Stats(msgspec.Struct, frozen=True, tag="stats"):
    """Ask for figures.

    Parameters
    ----------
    id
        Of the message; the reply has it, too.
    """

    id: int


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The first thing that is said on a connection.

    Parameters
    ----------
    instance
        Which start of the process this is.
    cache
        Digest of the trained cache that it works with: its scores are to be compared with these thresholds.
    encoder
        Hash of the encoder whose vectors it gives: they are to be compared with no others.
    """

    instance: str
    cache: str = ""
    encoder: str = ""


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Reply to a lookup.

    Parameters
    ----------
    id, outcome, neighbours
        Of which lookup, what became of it, and what was found, nearest first.
    threshold
        Score from which on a candidate may be served in this partition now; None: none may.
    vector, vectors
        (dim,) float32 of the text and of each neighbour, where they were asked for.
    """

    id: int
    outcome: Outcome
    neighbours: list[Neighbour] = []
    threshold: float | None = None
    vector: bytes = b""
    vectors: list[bytes] = []


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Reply to what changes the index: how many entries it was about.

    Parameters
    ----------
    id
        Of the message that it answers.
    n
        How many entries.
    """

    id: int
    n: int


class Figures(msgspec.Struct, frozen=True, tag="figures"):
    """Reply to `Stats`: counts since the start, and what is here now.

    Parameters
    ----------
    start_s
        Seconds from the start of the process until it listened.
    memory_bytes, index_bytes
        Resident memory of the process; of that, vectors and codes.
    entries, partitions, waiting
        Entries that can be found, their partitions, and entries that are not embedded yet.
    lookups, gated, embedded, late, overloaded
        Lookups; of these: answered by the static gate, embedded by MiniLM, dropped as too late, refused for want of
        room.
    threshold
        Score from which on a candidate may be served where a partition has no evidence of its own; None: none may.
    verified, alarms
        Verified lookups so far, and how often they said that something had changed for the worse.
    id
        Of the message that it answers.
    """

    id: int
    start_s: float
    memory_bytes: int
    index_bytes: int
    entries: int
    partitions: int
    waiting: int
    lookups: int
    gated: int
    embedded: int
    late: int
    overloaded: int
    threshold: float | None = None
    verified: int = 0
    alarms: int = 0


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The last thing that is said to somebody who sends what is no message.

    Parameters
    ----------
    reason
        In a sentence.
    """

    reason: str


Request = Lookup | Add | Remove | Rebuild | Verified | Stats
"""What a worker may send."""

Reply = Welcome | Found | Done | Figures | Refused
"""What it may get."""

T = TypeVar("T")


def frame(message: Request | Reply) -> bytes:
    """Return a message as it goes over the socket."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES) + body


class FrameReader:
    """Puts messages together from the pieces that a socket gives.

    Parameters
    ----------
    kind
        What messages there may be: `Request` or `Reply`.
    """

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def read(self, piece: bytes) -> Iterator[object]:
        """Return the messages that are whole with this piece.

        Raises
        ------
        DataError
            If it is no message; nothing can be read after it.
        """
        self._buffer += piece
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES])
            if end - _LENGTH_BYTES > MAX_FRAME_BYTES:
                raise DataError(f"a message of {end - _LENGTH_BYTES} bytes, must be at most {MAX_FRAME_BYTES}")
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise DataError(f"not a message: {error}") from error
            except UnicodeDecodeError as error:
                raise DataError(f"not a message: {error}") from error
