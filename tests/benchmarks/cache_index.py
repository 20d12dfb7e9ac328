"""What a search in the cache's index costs, by its size: one partition, one core.

    python tests/benchmarks/cache_index.py                              # 1k, 10k and 100k entries
    python tests/benchmarks/cache_index.py --sizes 1000000              # needs 8 GB and some minutes
    python tests/benchmarks/cache_index.py --sizes 500 --queries 20     # tiny

Entries are made-up vectors in clusters of clusters, as questions are; a lookup is at cosine 0.8 from an entry, off in
the direction of another. Prints a table and one JSON object. ``search_us`` is the median processor time of a search,
which a busy machine lengthens less than the time on the clock; ``recall`` is the share of lookups for which inverted
lists find what looking at every entry finds; bytes are of vectors, codes, ids and what Python needs for them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.index.index import FLAT_UP_TO
from beast_ml.cache.index.lists import InvertedLists
from beast_ml.cache.index.partition import Partition, PartitionContent

DIM, STATIC_DIM = 384, 128
Vectors = NDArray[np.float32]


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made_up(n: int, rng: np.random.Generator) -> NDArray[np.float16]:
    """Return n unit vectors: topics, questions within them, wordings of each."""
    topics = rng.normal(size=(max(2, n // 1000), DIM)).astype(np.float32)
    out = np.empty((n, DIM), dtype=np.float16)
    for start in range(0, n, 20_000):
        size = min(20_000, n - start)
        of = topics[rng.integers(len(topics), size=size)]
        out[start : start + size] = unit(of + rng.normal(size=(size, DIM)).astype(np.float32))
    return out


def lookups(entries: NDArray[np.float16], n: int, rng: np.random.Generator) -> Vectors:
    at, towards = (entries[rng.integers(len(entries), size=n)].astype(np.float32) for _ in range(2))
    aside = unit(towards - (towards * at).sum(axis=1, keepdims=True) * at)
    return unit(0.8 * at + 0.6 * aside)


def resident() -> int:
    with open("/proc/self/statm") as stream:  # noqa: PTH123  read in one line
        return int(stream.read().split()[1]) * 4096


def search_us(partition: Partition, queries: Vectors) -> tuple[float, list[str]]:
    spent, found = [], []
    for query in queries:
        began = time.process_time_ns()
        neighbours = partition.nearest(query, 4)
        spent.append((time.process_time_ns() - began) / 1000)
        found.append(neighbours[0].entry_id)
    return statistics.median(spent), found


def measured(n: int, n_queries: int) -> dict[str, float]:
    rng = np.random.default_rng(n)
    entries = made_up(n, rng)
    queries = lookups(entries, n_queries, rng)
    before = resident()
    ids = tuple(f"entry-{number:012x}" for number in range(n))
    texts = np.zeros((n, 16), dtype=np.uint8)
    static = entries[:, :STATIC_DIM].copy()
    partition = Partition.of(PartitionContent(ids, texts, static, entries))
    del static, texts
    result = {"entries": float(n), "array_bytes_per_entry": partition.n_bytes / n}
    result["bytes_per_entry"] = (resident() - before) / n
    result["search_us"], exact = search_us(partition, queries)
    gate = queries[:, :STATIC_DIM].copy()
    began = time.process_time_ns()
    for query in gate:
        partition.static_top(query)
    result["gate_us"] = (time.process_time_ns() - began) / 1000 / len(gate)
    if n <= FLAT_UP_TO // 5:
        return result
    began = time.process_time()
    vectors, rows = partition.begin_lists()
    lists = InvertedLists.train(vectors, rows, rng)
    result["lists_trained_s"] = time.process_time() - began
    partition.use_lists(lists)
    del vectors
    result["lists_array_bytes_per_entry"] = partition.n_bytes / n
    result["lists_search_us"], found = search_us(partition, queries)
    result["lists_probed"] = float(lists.n_probe)
    result["recall"] = sum(a == b for a, b in zip(exact, found, strict=True)) / len(exact)
    return result


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args(arguments)
    results = [measured(size, options.queries) for size in options.sizes]
    for result in results:
        sys.stdout.write("  ".join(f"{name} {value:,.4g}" for name, value in result.items()) + "\n")
    sys.stdout.write(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
