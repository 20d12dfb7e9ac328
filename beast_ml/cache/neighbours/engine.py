"""From texts to their neighbours: gate, encoder and index put together. One thread uses it at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

import numpy as np

from beast_ml.cache.index.index import IndexedText, PartitionedIndex
from beast_ml.cache.known_vectors import text_digest
from beast_ml.cache.neighbours.frames import Found, Lookup, NewEntry
from beast_ml.cache.neighbours.thresholds import KeptThresholds
from beast_ml.features.encoder import Encoder, Vectors

__all__ = ["Engine", "EngineCounts", "KnownVectors"]

_TOGETHER: Final = 8
"""Texts that are embedded in one go: twice as quick as one by one, and nobody waits for more than seven others."""

_REMEMBERED: Final = 4096


class KnownVectors(Protocol):
    """Vectors that were computed before, such as those that come with the trained cache."""

    def get(self, text: bytes) -> Vectors | None:
        """Return the (dim,) float32 vector of the text with this digest, if it is known."""
        ...


@dataclass
class EngineCounts:
    """What was done since the start; see `beast_ml.cache.neighbours.frames.Figures`.

    Parameters
    ----------
    gated, embedded, late
        Lookups by what became of them.
    """

    gated: int = 0
    embedded: int = 0
    late: int = 0


@dataclass
class Engine:
    """Answers lookups and takes entries in.

    Parameters
    ----------
    static, encoder
        The quick encoder of the gate, and the good one.
    gate
        Static similarity below which there is no neighbour worth looking for; -1: it is always looked, where there
        are entries.
    index
        The entries.
    known
        Vectors that need not be computed.
    thresholds
        What verified lookups have taught; None: candidates are looked for, none may be served.
    counts
        Since the start.
    """

    static: Encoder
    encoder: Encoder
    gate: float
    index: PartitionedIndex
    known: KnownVectors | None = None
    thresholds: KeptThresholds | None = None
    counts: EngineCounts = field(default_factory=EngineCounts)
    _recent: OrderedDict[bytes, Vectors] = field(default_factory=OrderedDict)

    def lookup(self, lookups: Sequence[Lookup], is_late: Callable[[Lookup], bool]) -> Iterator[tuple[Lookup, Found]]:
        """Return each lookup and what became of it, as soon as it is known.

        Those the gate stops come first, then short texts before long ones: they are embedded a few at a time, texts
        of like length together.
        """
        passed: list[Lookup] = []
        for lookup, static in zip(lookups, self.static.encode([each.text for each in lookups]), strict=True):
            top = self.index.static_top(lookup.partition, static) if lookup.gated else None
            if top is not None and top < self.gate:
                self.counts.gated += 1
                yield lookup, Found(lookup.id, "gated")
            else:
                passed.append(lookup)
        waiting = iter(sorted(passed, key=lambda each: len(each.text)))
        while group := list(islice(waiting, _TOGETHER)):
            timely: list[Lookup] = []
            for each in group:
                if is_late(each):
                    self.counts.late += 1
                    yield each, Found(each.id, "late")
                else:
                    timely.append(each)
            for each, vector in zip(timely, self._vectors([each.text for each in timely]), strict=True):
                yield each, self._found(each, vector)

    def _found(self, lookup: Lookup, vector: Vectors) -> Found:
        near = self.index.nearest(lookup.partition, vector, lookup.k)
        threshold = None if self.thresholds is None else self.thresholds.value(lookup.partition, lookup.tenant)
        if not lookup.vectors:
            return Found(lookup.id, "searched", near, threshold)
        theirs = [(each, self.index.vector(lookup.partition, each.entry_id)) for each in near]
        here = [(each, vector.tobytes()) for each, vector in theirs if vector is not None]
        return Found(
            lookup.id,
            "searched",
            [each for each, _ in here],
            threshold,
            vector.astype(np.float32).tobytes(),
            [each for _, each in here],
        )

    @property
    def n_changes(self) -> int:
        """How often something changed that is to be kept."""
        return self.index.n_changes + (0 if self.thresholds is None else self.thresholds.n_changes)

    def add(self, entries: Sequence[NewEntry]) -> None:
        """Take entries in; what is there already, with the same text, is left alone."""
        new = [each for each in entries if not self.index.holds(each.entry_id, each.partition, text_digest(each.text))]
        texts = [each.text for each in new]
        static, vectors = self.static.encode(texts), self._vectors(texts)
        self.index.put(
            IndexedText(each.entry_id, each.partition, text_digest(each.text), quick, vector)
            for each, quick, vector in zip(new, static, vectors, strict=True)
        )

    def _vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """Return the texts' vectors, computing those that are not known."""
        digests = [text_digest(text) for text in texts]
        vectors = {digest: vector for digest in digests if (vector := self._remembered(digest)) is not None}
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in vectors}
        computed = self.encoder.encode(list(missing.values())) if missing else ()
        self.counts.embedded += len(missing)
        for digest, vector in zip(missing, computed, strict=True):
            vectors[digest] = self._recent[digest] = vector
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return [vectors[digest] for digest in digests]

    def _remembered(self, digest: bytes) -> Vectors | None:
        # A text that was just looked up in vain comes again when its answer is stored.
        found = self._recent.get(digest)
        if found is None and self.known is not None:
            found = self.known.get(digest)
        return found
