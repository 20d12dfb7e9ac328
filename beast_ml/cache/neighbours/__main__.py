"""The process: ``python -m beast_ml.cache.neighbours --cache FOLDER --socket PATH --index FILE``.

It ends when its standard input does, that is, when whoever started it is gone; it is for them to start it again.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import resource
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from beast_ml.cache.artefact import CacheParts, load_verifier, open_cache
from beast_ml.cache.index.index import PartitionedIndex
from beast_ml.cache.index.snapshot import read_index, write_index
from beast_ml.cache.neighbours.command import Promise
from beast_ml.cache.neighbours.engine import Engine
from beast_ml.cache.neighbours.server import NeighbourServer, ServerLimits
from beast_ml.cache.neighbours.thresholds import KeptThresholds
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import BeastError, DataError, InputError
from beast_ml.events import events, show_events

__all__ = ["main"]

_IMPORTED_AT = time.monotonic()
_LOOK_S: Final = 1.0


def main(arguments: list[str]) -> int:
    """Serve until told to stop, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m beast_ml.cache.neighbours", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the trained cache")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True, help="file that the index is kept in")
    parser.add_argument("--thresholds", type=Path, required=True, help="file for what verified lookups teach")
    parser.add_argument("--epsilon", type=float, default=Promise.epsilon, help="most wrong hits over lookups")
    parser.add_argument("--delta", type=float, default=Promise.delta, help="probability that epsilon is exceeded")
    parser.add_argument("--audit-share", type=float, default=Promise.audit_share, help="least share that is verified")
    parser.add_argument("--threads", type=int, default=1, help="that embed a text together")
    parser.add_argument("--snapshot-s", type=float, default=ServerLimits.snapshot_s)
    options = parser.parse_args(arguments)
    show_events()
    try:
        with _only_one(options.socket.with_suffix(".lock")):
            asyncio.run(_serve(options))
    except BeastError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    folder = options.cache.resolve()
    parts = open_cache(folder, options.threads)
    thresholds = _thresholds(folder, options)
    encoders = (parts.gate.hash, parts.encoder.hash)
    index = _index(options.index, encoders, parts)

    def save() -> None:
        write_index(index, encoders, options.index)
        if thresholds is not None:
            thresholds.save()

    server = NeighbourServer(
        Engine(parts.gate, parts.encoder, parts.bound, index, parts.known, thresholds),
        uuid.uuid4().hex,
        ServerLimits(snapshot_s=options.snapshot_s),
        save=save,
        cache=parts.manifest.digest,
        encoder=parts.encoder.hash,
        start_s=_age_s(),
        memory_bytes=_memory_bytes,
    )
    serving = asyncio.create_task(server.serve(options.socket))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    loop.add_signal_handler(signal.SIGINT, serving.cancel)
    stop = partial(loop.call_soon_threadsafe, serving.cancel)
    threading.Thread(target=_end_with_input, args=(stop,), daemon=True).start()
    watching = asyncio.create_task(_end_when_replaced(options.cache, folder, serving))
    with suppress(asyncio.CancelledError):  # told to stop
        await serving
    watching.cancel()


async def _end_when_replaced(link: Path, folder: Path, serving: asyncio.Task[None]) -> None:
    """Stop when another trained cache is to be served: whoever started this process starts it again."""
    while link.resolve() == folder:
        await asyncio.sleep(_LOOK_S)
    events.info("cache.replaced", by=link.resolve().name)
    serving.cancel()


def _thresholds(folder: Path, options: argparse.Namespace) -> KeptThresholds | None:
    """Return where thresholds begin, or have come to; None where there is no verifier, so that nothing is served."""
    trained = load_verifier(folder)
    if trained is None:
        return None
    thresholds = trained.thresholds(RiskTarget(options.epsilon, options.delta), options.audit_share)
    return KeptThresholds(thresholds, options.thresholds, trained.hash)


def _index(path: Path, encoders: tuple[str, str], parts: CacheParts) -> PartitionedIndex:
    dims = (parts.gate.dim, parts.encoder.dim)
    try:
        return read_index(path, encoders, *dims)
    except DataError as error:
        events.info("cache.index_is_new", why=str(error))
        return PartitionedIndex(*dims)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Wait until no other process of this socket is left: an earlier one may still be writing its index."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _end_with_input(stop: Callable[[], object]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop()


def _age_s() -> float:
    """Return for how many seconds this process has run."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():  # not Linux
        return time.monotonic() - _IMPORTED_AT
    fields = stat.read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _memory_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.is_file():  # not Linux, where the most that it ever was is all that is told
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
