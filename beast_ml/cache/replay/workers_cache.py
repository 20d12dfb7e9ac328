"""The product's own cache in a replay: several workers, each with its memory, and what they share.

    request -> keys (bypass?) -> memory -> shared tier -> gate, neighbours, verifier -> hit | miss

Keys, bypass rules, tiers, index and verifier are those that serve; only the clock is the stream's, and what is written
to the shared tier is written at once. Valkey is not replayed: entries expire there by the server's own clock.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Literal

import numpy as np

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.index.index import PartitionedIndex
from beast_ml.cache.key import KeyMaker
from beast_ml.cache.neighbours.engine import Engine
from beast_ml.cache.neighbours.frames import Lookup, NewEntry
from beast_ml.cache.replay.audited import AuditedThresholds
from beast_ml.cache.replay.recognition import Recognition
from beast_ml.cache.replay.replay import Hit
from beast_ml.cache.replay.stream import StreamRequest
from beast_ml.cache.request import CacheLevel, CacheRequest
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.verifier.trained import N_CANDIDATES

__all__ = ["ReplayKeys", "WorkersCache"]

_ANSWER: Final = bytes(1_000)  # about 250 tokens; what it says plays no part
_SECRET: Final = b"of a replay only"


class ReplayKeys:
    """Makes the keys of a stream's requests, each once for all replays."""

    def __init__(self) -> None:
        self._maker = KeyMaker(_SECRET)
        self._made: dict[tuple[str, str, CacheLevel], CacheKey | Bypass] = {}

    def of(self, tenant_id: str, text: str, level: CacheLevel = CacheLevel.FULL) -> CacheKey | Bypass:
        """Return the keys of a text that a tenant asks, or why the cache is to be left out."""
        found = self._made.get((tenant_id, text, level))
        if found is None:
            found = self._maker.full(CacheRequest.of_prompt(tenant_id, text, level=level))
            self._made[tenant_id, text, level] = found
        return found

    def canonical(self, request: StreamRequest) -> Hashable | None:
        """Return what equal requests have in common; None for those that bypass the cache."""
        key = self.of(request.tenant_id, request.text)
        return None if isinstance(key, Bypass) else key.normalised


@dataclass(frozen=True)
class _Worker:
    memory: MemoryTier
    tiers: TieredCache
    engine: Engine | None


class WorkersCache:
    """Answers a stream as some workers would among whom its requests are drawn; close it.

    Parameters
    ----------
    keys
        Of the stream's requests.
    life_s
        How long an answer of a kind is kept.
    level
        `CacheLevel.EXACT`: only equal requests hit.
    recognition
        What finds paraphrases; None: nothing does.
    right
        The judge of answers that are verified, given where there is a recognition; see `AuditedThresholds`.
    shared
        Whether the workers share a SQL tier, and one index; otherwise each knows its own answers only.
    limits
        Of each worker's memory.
    n_workers
        How many.
    seed
        Draws the worker of each request, and what memory compares.
    """

    def __init__(
        self,
        keys: ReplayKeys,
        life_s: Callable[[str], float],
        *,
        level: Literal[CacheLevel.EXACT, CacheLevel.FULL] = CacheLevel.FULL,
        recognition: Recognition | None = None,
        right: Callable[[StreamRequest, int], bool] | None = None,
        shared: bool = True,
        limits: MemoryLimits | None = None,
        n_workers: int = 4,
        seed: int = 0,
    ) -> None:
        self._keys, self._life_s, self._level, self._recognition = keys, life_s, level, recognition
        self._audited = None
        if recognition is not None and right is not None:
            self._audited = AuditedThresholds(recognition.thresholds(), right, seed)
        self._now_s = 0.0
        self._numbers = count()
        self._rng = np.random.default_rng(seed)
        self._folder = tempfile.TemporaryDirectory(prefix="beast-replay-")
        address = f"sqlite:///{Path(self._folder.name) / 'cache.db'}"
        self._sql = SqlTier.open(address, clock=self._clock) if shared else None
        engine = self._engine() if shared else None
        self._workers = [
            self._worker(limits or MemoryLimits(), engine if shared else self._engine(), seed + i)
            for i in range(n_workers)
        ]

    def lookup(self, request: StreamRequest, now_s: float) -> Hit | None:
        """Return what one of the workers finds."""
        self._now_s = now_s
        worker = self._workers[int(self._rng.integers(len(self._workers)))]
        key = self._keys.of(request.tenant_id, request.text, self._level)
        if isinstance(key, Bypass):
            return None
        own = worker.tiers.lookup(key) or worker.tiers.lookup_shared(key)
        if own is not None:
            return Hit(_source(own.entry), own.kind, own.tier, own.entry.created_at)
        if self._audited is None:
            return None
        near = self._best(key, worker.engine, lambda ids: self._fetched(worker, ids))
        if near is None:
            self._audited.missed(key.partition)
            return None
        entry, tier, score = near
        if not self._audited.serves(request, key.partition, score, _source(entry)):
            return None
        return Hit(_source(entry), "semantic", tier, entry.created_at)

    def store(self, request: StreamRequest, now_s: float) -> None:
        """Keep an answer; its life begins now."""
        self._now_s = now_s
        worker = self._workers[int(self._rng.integers(len(self._workers)))]
        key = self._keys.of(request.tenant_id, request.text, self._level)
        life_s = self._life_s(request.kind)
        if isinstance(key, Bypass) or life_s <= 0.0:
            return
        entry = CacheEntry(
            entry_id=f"{request.number}.{next(self._numbers)}",
            key=key,
            answer=_ANSWER,
            created_at=now_s,
            expires_at=now_s + life_s,
            model="replayed",
            request_kind=request.kind,
            cost_usd=request.cost_usd,
            latency_s=request.latency_s,
        )
        if worker.tiers.store(entry):
            worker.tiers.flush()
            if worker.engine is not None and key.text is not None:
                worker.engine.add([NewEntry(entry.entry_id, key.partition, key.text)])

    def key(self, request: StreamRequest) -> str | None:
        """Return what equal requests have in common, tenant and all; None for what bypasses the cache."""
        key = self._keys.of(request.tenant_id, request.text, self._level)
        return None if isinstance(key, Bypass) else key.normalised.hex()

    def expires_at(self, request: StreamRequest) -> float:
        """Return when what would be found for a request expires, in the tier that is shared; 0 if nothing is."""
        key = self._keys.of(request.tenant_id, request.text, self._level)
        tier: Tier = self._sql or self._workers[0].memory
        if isinstance(key, Bypass):
            return 0.0
        own = tier.get_many((key.exact, key.normalised)).values()
        near = self._best(
            key,
            self._workers[0].engine,
            lambda ids: {name: (entry, tier.name) for name, entry in tier.by_id(ids).items()},
        )
        served = (
            near is not None and self._audited is not None and self._audited.allows(request, key.partition, near[2])
        )
        return max([*(entry.expires_at for entry in own), near[0].expires_at if near and served else 0.0])

    def memory_bytes(self) -> int:
        """Return what the workers' memories and the vectors take now."""
        engines = {id(worker.engine): worker.engine for worker in self._workers if worker.engine is not None}
        held = sum(n for worker in self._workers for _, n in worker.memory.usage().values())
        return held + sum(engine.index.n_bytes for engine in engines.values())

    def close(self) -> None:
        """Let go of everything."""
        for worker in self._workers:
            worker.tiers.close()
        self._folder.cleanup()

    def _clock(self) -> float:
        return self._now_s

    def _engine(self) -> Engine | None:
        given = self._recognition
        if given is None:
            return None
        return Engine(given.static, given.encoder, given.gate, PartitionedIndex(given.static.dim, given.encoder.dim))

    def _worker(self, limits: MemoryLimits, engine: Engine | None, seed: int) -> _Worker:
        memory = MemoryTier(limits, clock=self._clock, rng=np.random.default_rng(seed))
        shared = () if self._sql is None else (self._sql,)
        tiers = TieredCache(memory, shared, clock=self._clock, monotonic=self._clock, in_background=False)
        return _Worker(memory, tiers, engine)

    def _fetched(self, worker: _Worker, entry_ids: Sequence[str]) -> dict[str, tuple[CacheEntry, str]]:
        """Return entries by id, and the tiers they came from."""
        found = worker.tiers.by_id(entry_ids)
        missing = [name for name in entry_ids if name not in found]
        return found | worker.tiers.by_id_shared(missing) if missing else found

    def _best(
        self,
        key: CacheKey,
        engine: Engine | None,
        fetch: Callable[[Sequence[str]], dict[str, tuple[CacheEntry, str]]],
    ) -> tuple[CacheEntry, str, float] | None:
        """Return the entry that the verifier takes for the best paraphrase, where it was found, and the score."""
        given = self._recognition
        if given is None or engine is None or key.text is None:
            return None
        asked = Lookup(0, key.partition, key.text, N_CANDIDATES, within_s=1.0)
        while True:
            ((_, near),) = engine.lookup([asked], lambda _: False)
            ids = [each.entry_id for each in near.neighbours]
            found = fetch(ids)
            gone = [name for name in ids if name not in found]  # expired or evicted since: the index cannot know
            if not gone:
                break
            engine.index.remove(gone)
        if not ids:
            return None
        candidates = [found[name] for name in ids]
        scores = given.scores.of(key.text, [entry.key.text or "" for entry, _ in candidates])
        best = int(np.argmax(scores))
        return *candidates[best], float(scores[best])


def _source(entry: CacheEntry) -> int:
    return int(entry.entry_id.split(".")[0])
