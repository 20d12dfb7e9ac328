"""What the process of the semantic cache costs: start, memory, and a lookup, alone and with others.

    python tests/benchmarks/cache_process.py CACHE                     # a folder that `beast cache build` wrote
    python tests/benchmarks/cache_process.py                           # one that is trained on made-up questions
    python tests/benchmarks/cache_process.py --repeats 2               # tiny

Prints a table and one JSON object. ``_cpu_ms`` is processor time: of MiniLM alone (a question of a dozen tokens, and
256 tokens), of the process until it listens, and of the process for one lookup; a busy machine does not lengthen it as
it does the other times, which are on the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from beast_ml.cache.artefact import open_cache
from beast_ml.cache.neighbours.client import NeighbourClient
from beast_ml.cache.neighbours.command import NeighbourFiles, neighbour_arguments
from beast_ml.cache.neighbours.frames import NewEntry
from beast_ml.cache.training import train_cache
from beast_ml.features.distill import static_encoder

QUESTIONS = tuple(f"how much does it cost to send {n} letters to country number {7 * n}?" for n in range(200))
LONG = "please summarise the report on what was found in the north of the country " * 30


def made_up_cache(folder: Path) -> Path:
    asked = [f"{start} {question}" for start in ("tell me,", "please,", "and") for question in QUESTIONS]
    train_cache(asked, None, static_encoder(), folder)
    return folder


def embedding(cache: Path, repeats: int) -> dict[str, float]:
    encoder = open_cache(cache).encoder
    figures = {}
    for name, texts in (("short", [QUESTIONS[0]]), ("eight_short", list(QUESTIONS[:8])), ("long", [LONG])):
        spent = []
        for _ in range(repeats + 1):
            began = time.process_time()
            encoder.encode(texts)
            spent.append(1000 * (time.process_time() - began) / len(texts))
        figures[f"embed_{name}_cpu_ms"] = min(spent[1:])
    return figures


async def lookups(cache: Path, state: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, *neighbour_arguments(cache, state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    client = NeighbourClient(NeighbourFiles(state).socket, within_s=60)
    try:
        await client.start()
        while client.instance is None:
            await asyncio.sleep(0.01)
        figures = {"start_cpu_ms": _cpu_ms(process.pid)}
        empty = await client.stats()
        await client.add([NewEntry(f"e{n}", b"tenant", text) for n, text in enumerate(QUESTIONS)])
        while (stats := await client.stats()) is None or stats.entries < len(QUESTIONS):
            await asyncio.sleep(0.05)
        kinds = {
            "gated": (b"other", "{} at all"),
            "known_text": (b"tenant", "{}"),
            "new_text": (b"tenant", "{} please"),
        }
        for name, (partition, form) in kinds.items():
            before = _cpu_ms(process.pid)
            spent = [await _ms(client.lookup(partition, form.format(text))) for text in QUESTIONS[:repeats]]
            figures[f"{name}_ms"] = statistics.median(spent)
            figures[f"{name}_cpu_ms"] = (_cpu_ms(process.pid) - before) / len(spent)
        before = _cpu_ms(process.pid)
        await asyncio.gather(*(client.lookup(b"tenant", f"{text} thank you", gated=False) for text in QUESTIONS))
        figures["new_text_of_200_at_once_cpu_ms"] = (_cpu_ms(process.pid) - before) / len(QUESTIONS)
        stats = await client.stats()
        assert stats is not None
        assert empty is not None
        return figures | {
            "start_s": stats.start_s,
            "memory_at_start_mb": empty.memory_bytes / 1e6,
            "memory_mb": stats.memory_bytes / 1e6,
        }
    finally:
        await client.close()
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _cpu_ms(pid: int) -> float:
    """Return the processor time of a process's threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e6


async def _ms(awaited: object) -> float:
    began = time.perf_counter()
    await awaited  # type: ignore[misc]  # a coroutine or a future
    return 1000 * (time.perf_counter() - began)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="beast-") as state:
        cache = options.cache or made_up_cache(Path(state) / "cache")
        result = {"model_mb": (cache / "minilm.onnx").stat().st_size / 1e6}
        result["folder_mb"] = sum(each.stat().st_size for each in cache.rglob("*") if each.is_file()) / 1e6
        result |= embedding(cache, options.repeats)
        result |= asyncio.run(lookups(cache, Path(state), options.repeats))
    for name, value in result.items():
        sys.stdout.write(f"{name:28} {value:10.2f}\n")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
