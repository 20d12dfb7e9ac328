"""The vectors of one partition: what is in another one cannot be found here, for it is not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.index.lists import InvertedLists, Rows
from beast_ml.features.encoder import Vectors

__all__ = ["Neighbour", "Partition", "PartitionContent"]

_FIRST_ROWS: Final = 8
_RERANKED: Final = 4
"""Rows looked at per neighbour asked for, where inverted lists propose them: their codes are of 8 bits."""

Stored = NDArray[np.float16] | NDArray[np.float32]


class Neighbour(msgspec.Struct, frozen=True, array_like=True):
    """An entry near a text; ``similarity`` is the cosine of their vectors, at most 1.

    Parameters
    ----------
    entry_id
        Which entry.
    """

    entry_id: str
    similarity: float


@dataclass(frozen=True)
class PartitionContent:
    """What is in a partition, at one moment.

    Parameters
    ----------
    ids
        Of n entries.
    texts
        (n, 16) uint8: digests of the texts that the vectors are of.
    static
        (n, static dim) float16, of unit length; of a large partition None.
    vectors
        (n, dim) float16, of unit length.
    """

    ids: tuple[str, ...]
    texts: NDArray[np.uint8]
    static: NDArray[np.float16] | None
    vectors: NDArray[np.float16]


class Partition:
    """Entries by vector; `PartitionedIndex` guards it against several threads.

    Vectors are rounded to float16 when they come in, so that what is written and read again is what it was. While
    there are few they are held as float32, which a matrix product is quick on, and looked at one and all. With
    `InvertedLists` they are held as float16, and the static ones not at all: among some ten thousand entries one text
    in five is still far from each of them, so that looking at them all costs about what it saves.

    Parameters
    ----------
    static_dim, dim
        Widths of the static and of the sentence vectors.
    """

    def __init__(self, static_dim: int, dim: int) -> None:
        self._ids: list[str | None] = []
        self._row_of: dict[str, int] = {}
        self._free: list[int] = []
        self._texts = np.zeros((_FIRST_ROWS, 16), dtype=np.uint8)
        self._static: Stored | None = np.zeros((_FIRST_ROWS, static_dim), dtype=np.float32)
        self._vectors: Stored = np.zeros((_FIRST_ROWS, dim), dtype=np.float32)
        self._lists: InvertedLists | None = None
        self._changed: set[int] | None = None  # rows that were written since `begin_lists`

    @classmethod
    def of(cls, content: PartitionContent) -> Partition:
        """Return a partition with this in it."""
        static = content.static
        partition = cls(0 if static is None else static.shape[1], content.vectors.shape[1])
        partition._ids = list(content.ids)
        partition._row_of = {entry_id: row for row, entry_id in enumerate(content.ids)}
        partition._texts = content.texts.copy()
        partition._static = None if static is None else static.astype(np.float32)
        partition._vectors = content.vectors.astype(np.float32)
        return partition

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays; of FAISS's codes as they are counted by it."""
        codes = len(self._lists) * (self._vectors.shape[1] + 8) if self._lists is not None else 0
        static = 0 if self._static is None else self._static.nbytes
        return self._texts.nbytes + static + self._vectors.nbytes + codes

    def ids(self) -> list[str]:
        """Return the ids of all entries."""
        return list(self._row_of)

    def holds(self, entry_id: str, text: bytes) -> bool:
        """Whether an entry is here with that text's digest."""
        row = self._row_of.get(entry_id)
        return row is not None and self._texts[row].tobytes() == text

    def put(self, entry_id: str, text: bytes, static: Vectors, vector: Vectors) -> None:
        """Take an entry in, over an earlier one of that id."""
        self.remove(entry_id)
        if self._free:
            row = self._free.pop()
            self._ids[row] = entry_id
        else:
            row = len(self._ids)
            if row == len(self._vectors):
                self._grow()
            self._ids.append(entry_id)
        self._row_of[entry_id] = row
        self._texts[row] = np.frombuffer(text, dtype=np.uint8)
        if self._static is not None:
            self._static[row] = static.astype(np.float16)
        self._vectors[row] = vector.astype(np.float16)
        if self._lists is not None:
            self._lists.add(self._vectors[row].astype(np.float32), row)
        if self._changed is not None:
            self._changed.add(row)

    def remove(self, entry_id: str) -> bool:
        """Forget an entry; return whether it was here."""
        row = self._row_of.pop(entry_id, None)
        if row is None:
            return False
        self._ids[row] = None
        # Zero is near to nothing: whoever still holds the row, as the inverted lists do, finds it far away.
        self._vectors[row] = 0
        if self._static is not None:
            self._static[row] = 0
        self._free.append(row)
        return True

    def static_top(self, static: Vectors) -> float | None:
        """Return the greatest static similarity to any entry, -inf if there is none; None in a large partition."""
        if not self._row_of:
            return -inf
        return None if self._static is None else float((self._static[: len(self._ids)] @ static).max())

    def nearest(self, vector: Vectors, k: int) -> list[Neighbour]:
        """Return up to k entries, nearest first."""
        if self._lists is None:
            rows: Sequence[int] | Rows = range(len(self._ids))
            similarity = self._vectors[: len(self._ids)] @ vector
        else:
            rows = self._lists.find(vector, _RERANKED * k)
            similarity = self._vectors[rows].astype(np.float32) @ vector
        # As many more as there are free rows, which are at 0 and might come before an entry at less than that.
        n = min(len(rows), k + len(self._free))
        top = np.argpartition(-similarity, n - 1)[:n] if n else np.zeros(0, dtype=np.int64)
        top = top[np.lexsort((top, -similarity[top]))]
        found = ((self._ids[rows[each]], min(float(similarity[each]), 1.0)) for each in top)
        return [Neighbour(entry_id, value) for entry_id, value in found if entry_id is not None][:k]

    def vector(self, entry_id: str) -> Vectors | None:
        """Return the (dim,) float32 vector of an entry; None if it is not here."""
        row = self._row_of.get(entry_id)
        return None if row is None else self._vectors[row].astype(np.float32)

    def content(self) -> PartitionContent:
        """Return what is here, copied."""
        rows = list(self._row_of.values())
        return PartitionContent(
            ids=tuple(self._row_of),
            texts=self._texts[rows],
            static=None if self._static is None else self._static[rows].astype(np.float16),
            vectors=self._vectors[rows].astype(np.float16),
        )

    def begin_lists(self) -> tuple[NDArray[np.float16], Rows]:
        """Return the vectors and their rows, copied: what `InvertedLists.train` takes, in another thread."""
        rows = np.fromiter(self._row_of.values(), dtype=np.int64, count=len(self._row_of))
        self._changed = set()
        return self._vectors[rows].astype(np.float16), rows

    def use_lists(self, lists: InvertedLists) -> None:
        """Search by lists from now on; rows that came or changed since `begin_lists` are added to them."""
        self._vectors = self._vectors.astype(np.float16, copy=False)
        self._static = None
        for row in sorted(self._changed or ()):
            lists.add(self._vectors[row].astype(np.float32), row)
        self._lists, self._changed = lists, None

    def needs_lists(self, beyond: int) -> bool:
        """Whether to train lists: the partition is large and has none, or too much in them has changed."""
        if len(self._row_of) <= beyond:
            return False
        return self._lists is None or len(self._lists) > 2 * self._lists.n_trained

    def _grow(self) -> None:
        size = max(_FIRST_ROWS, 2 * len(self._vectors))
        for name in ("_texts", "_static", "_vectors"):
            old = getattr(self, name)
            if old is None:
                continue
            new = np.zeros((size, old.shape[1]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
