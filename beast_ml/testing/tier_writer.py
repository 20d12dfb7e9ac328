"""A process that writes to a cache in SQLite until it is killed, and says what it was told is durable.

    python -m beast_ml.testing.tier_writer cache.db SEED

Each line on standard output is one batch, printed when `flush` has returned: ``+`` and the ids that were stored, or
``-`` and those that were removed. What an entry answers follows from its id, see `answer_of`.
"""

from __future__ import annotations

import sys
import time
from hashlib import blake2b
from random import Random

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.tiers.memory import MemoryTier
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.write_back import WriteBackLimits
from beast_ml.testing.cache_entries import cache_entry, cache_key

__all__ = ["answer_of", "entry_of"]


def answer_of(entry_id: str) -> bytes:
    """Return what an entry answers: some kilobytes, half of which can be compressed."""
    seed = blake2b(entry_id.encode()).digest()
    return seed * 20 + Random(seed).randbytes(1500)  # noqa: S311 - nothing secret


def entry_of(entry_id: str) -> CacheEntry:
    """Return an entry as this process writes it."""
    key = cache_key(f"tenant {len(entry_id) % 2}", entry_id, f"normal {entry_id[:-1]}")
    return cache_entry(entry_id, key, time.time(), life_s=3600.0, answer=answer_of(entry_id))


def _write(path: str, seed: int) -> None:
    rng = Random(seed)  # noqa: S311 - nothing secret
    cache = TieredCache(MemoryTier(), [SqlTier.open(f"sqlite:///{path}")], limits=WriteBackLimits(batch=7, delay_s=0.0))
    durable: list[str] = []
    n = 0
    while True:
        names = [f"{seed}-{n + k}" for k in range(rng.randrange(1, 20))]
        n += len(names)
        for name in names:
            cache.store(entry_of(name))
        if cache.flush():
            durable += names
            print("+", *names, flush=True)  # noqa: T201 - what this program is for
        if rng.random() < 0.3 and durable:
            gone = [durable.pop(rng.randrange(len(durable))) for _ in range(min(3, len(durable)))]
            print("?", *gone, flush=True)  # noqa: T201 - from here on they may be gone
            if not cache.remove(gone).unreached:
                print("-", *gone, flush=True)  # noqa: T201


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]))
