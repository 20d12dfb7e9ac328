"""All partitions' vectors: add, remove, search, rebuild; one for the workers of a host."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

import msgspec
import numpy as np

from beast_ml.cache.index.lists import InvertedLists
from beast_ml.cache.index.partition import Neighbour, Partition, PartitionContent
from beast_ml.errors import MissingExtraError
from beast_ml.events import events
from beast_ml.features.encoder import Vectors

__all__ = ["FLAT_UP_TO", "IndexedText", "PartitionedIndex"]

FLAT_UP_TO: Final = 10_000
"""Entries of a partition that are looked at one and all: 0.4 ms, a tenth of what embedding the text takes."""


class IndexedText(msgspec.Struct, frozen=True):
    """An entry as it comes into the index.

    Parameters
    ----------
    entry_id
        Its id.
    partition
        See `beast_ml.cache.entry.CacheKey.partition`.
    text
        16 bytes: digest of the text that the vectors are of.
    static, vector
        (static dim,) and (dim,) float32, of unit length.
    """

    entry_id: str
    partition: bytes
    text: bytes
    static: Vectors
    vector: Vectors


class PartitionedIndex:
    """Vectors by partition; an entry is in one partition. Safe to be called from several threads.

    Parameters
    ----------
    static_dim, dim
        Widths of the static and of the sentence vectors.
    flat_up_to
        Entries of a partition beyond which it gets inverted lists, by `train_lists`.
    """

    def __init__(self, static_dim: int, dim: int, flat_up_to: int = FLAT_UP_TO) -> None:
        self._static_dim = static_dim
        self._dim = dim
        self._flat_up_to = flat_up_to
        self._lock = threading.Lock()
        self._partitions: dict[bytes, Partition] = {}
        self._partition_of: dict[str, bytes] = {}
        self._seen: set[str] | None = None
        self.n_changes = 0
        """How often an entry came, changed or went."""

    def __len__(self) -> int:
        return len(self._partition_of)

    @property
    def n_partitions(self) -> int:
        """How many partitions have entries."""
        return len(self._partitions)

    @property
    def n_bytes(self) -> int:
        """Bytes of vectors and codes."""
        with self._lock:
            return sum(partition.n_bytes for partition in self._partitions.values())

    def put(self, entries: Iterable[IndexedText]) -> None:
        """Take entries in, each over an earlier one of its id."""
        with self._lock:
            for entry in entries:
                if self._partition_of.get(entry.entry_id) != entry.partition:
                    self._remove(entry.entry_id)
                partition = self._partitions.get(entry.partition)
                if partition is None:
                    partition = self._partitions[entry.partition] = Partition(self._static_dim, self._dim)
                partition.put(entry.entry_id, entry.text, entry.static, entry.vector)
                self._partition_of[entry.entry_id] = entry.partition
                self._mark(entry.entry_id)
                self.n_changes += 1

    def holds(self, entry_id: str, partition: bytes, text: bytes) -> bool:
        """Whether an entry is here, in that partition, with that text's digest; if so, it outlives a rebuild."""
        with self._lock:
            here = self._partition_of.get(entry_id) == partition and self._partitions[partition].holds(entry_id, text)
            if here:
                self._mark(entry_id)
            return here

    def remove(self, entry_ids: Iterable[str]) -> int:
        """Forget entries; return how many were here."""
        with self._lock:
            return sum(self._remove(entry_id) for entry_id in entry_ids)

    def remove_partition(self, partition: bytes) -> int:
        """Forget all entries of a partition; return how many there were."""
        with self._lock:
            gone = self._partitions.get(partition)
            return 0 if gone is None else sum(self._remove(entry_id) for entry_id in gone.ids())

    def static_top(self, partition: bytes, static: Vectors) -> float | None:
        """Return the greatest static similarity to any entry of a partition, -inf if there is none.

        None in a partition that is so large that it is not asked.
        """
        with self._lock:
            found = self._partitions.get(partition)
            return -inf if found is None else found.static_top(static)

    def nearest(self, partition: bytes, vector: Vectors, k: int) -> list[Neighbour]:
        """Return up to k entries of a partition, nearest first."""
        with self._lock:
            found = self._partitions.get(partition)
            return [] if found is None else found.nearest(vector, k)

    def vector(self, partition: bytes, entry_id: str) -> Vectors | None:
        """Return the (dim,) float32 vector of an entry of a partition; None if it is not there."""
        with self._lock:
            found = self._partitions.get(partition)
            return None if found is None else found.vector(entry_id)

    def begin_rebuild(self) -> None:
        """From now on note what comes or is asked for with `holds`; `end_rebuild` forgets all else."""
        with self._lock:
            self._seen = set()

    def end_rebuild(self) -> int:
        """Forget what nobody named since `begin_rebuild`; return how many entries that were."""
        with self._lock:
            if self._seen is None:
                return 0
            stale = [entry_id for entry_id in self._partition_of if entry_id not in (self._seen or ())]
            self._seen = None
            return sum(self._remove(entry_id) for entry_id in stale)

    def train_lists(self, rng: np.random.Generator) -> int:
        """Give inverted lists to partitions that need them; return to how many.

        Takes seconds to a minute. Searches and changes go on meanwhile; the lists are swapped in at once.
        """
        with self._lock:
            due = [key for key, each in self._partitions.items() if each.needs_lists(self._flat_up_to)]
        n_trained = 0
        for key in due:
            with self._lock:
                if (partition := self._partitions.get(key)) is None:
                    continue
                vectors, rows = partition.begin_lists()
            try:
                lists = InvertedLists.train(vectors, rows, rng)
            except MissingExtraError as error:
                events.error("cache.index_stays_flat", error=str(error))
                self._flat_up_to = 2 * self._flat_up_to  # and say so again when it hurts more
                return n_trained
            with self._lock:
                if self._partitions.get(key) is partition:
                    partition.use_lists(lists)
                    n_trained += 1
            events.info("cache.lists_trained", entries=len(rows), probed=lists.n_probe, recall=round(lists.recall, 4))
        return n_trained

    def contents(self) -> dict[bytes, PartitionContent]:
        """Return what is here, by partition, copied; each as it is at one moment, searches wait for one at most."""
        with self._lock:
            keys = tuple(self._partitions)
        contents: dict[bytes, PartitionContent] = {}
        for key in keys:
            with self._lock:
                if key in self._partitions:
                    contents[key] = self._partitions[key].content()
        return contents

    @classmethod
    def of(
        cls, contents: Mapping[bytes, PartitionContent], static_dim: int, dim: int, flat_up_to: int = FLAT_UP_TO
    ) -> PartitionedIndex:
        """Return an index with these entries in it."""
        index = cls(static_dim, dim, flat_up_to)
        for key, content in contents.items():
            partition = index._partitions[key] = Partition.of(content)
            for entry_id in content.ids:
                # One that moved while it was written is in two: it is in none, until somebody names it again.
                if entry_id in index._partition_of:
                    partition.remove(entry_id)
                    index._remove(entry_id)
                else:
                    index._partition_of[entry_id] = key
        return index

    def _mark(self, entry_id: str) -> None:
        if self._seen is not None:
            self._seen.add(entry_id)

    def _remove(self, entry_id: str) -> bool:
        key = self._partition_of.pop(entry_id, None)
        if key is None:
            return False
        partition = self._partitions[key]
        partition.remove(entry_id)
        self.n_changes += 1
        if not len(partition):
            del self._partitions[key]
        return True
