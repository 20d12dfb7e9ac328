"""Follows addresses in the registry, and keeps what they point at on this machine.

``python -m beast_ml.registry.watch models:/beast-router@champion --pointer state/bundle.json`` looks at the registry
every few seconds, downloads and verifies what is new, and replaces the pointer by one rename. Serving runs it as a
child process, because mlflow stays out of the serving process. It outlives the registry's absences, and ends when its
standard input does: then whoever started it is gone. The store is that of ``MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.errors import BeastError, RegistryError, RegistryUnavailableError
from beast_ml.events import events, show_events
from beast_ml.registry.bundle_cache import delete_unused, remember_state
from beast_ml.registry.bundle_pointer import BundlePointer, FileSignature, file_signature, read_pointer, write_pointer
from beast_ml.registry.config import CHAMPION, ROUTER, TrackingConfig, default_cache_dir
from beast_ml.registry.connection import connect
from beast_ml.registry.environment import TRACKING_URI
from beast_ml.registry.model_uri import ModelUri
from beast_ml.registry.resolve import ResolvedBundle, aliased_digests, resolve_with

__all__ = ["Watched", "Watcher", "main"]

_TICK_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 15.0
_BEHIND_SERVING: Final = 10
"""Niceness: requests come before looks at the registry."""
_LAST_WORDS_S: Final = 5.0


@dataclass(frozen=True)
class Watched:
    """What is watched, and for whom.

    Parameters
    ----------
    uri
        The address whose pointer always is kept.
    pointer
        Its file.
    config
        The store.
    cache_dir
        Where bundles are kept.
    poll_s
        Seconds between looks.
    followed
        Folder of pointers to more addresses; one that appears there is a request to follow the address in it.
    reload
        Touching this file asks for a look now.
    """

    uri: str
    pointer: Path
    config: TrackingConfig
    cache_dir: Path
    poll_s: float
    followed: Path
    reload: Path


@dataclass
class Watcher:
    """Looks at the registry; `tick` is called ten times a second.

    Parameters
    ----------
    watched
        What is watched.
    monotonic
        A clock in seconds.
    """

    watched: Watched
    monotonic: Callable[[], float] = time.monotonic
    _client: Any = None
    _next_s: float = float("-inf")
    _failures: int = 0
    _reload_seen: FileSignature | None = None
    _known: frozenset[Path] = frozenset()
    _has_moved: bool = True

    def __post_init__(self) -> None:
        self._reload_seen = file_signature(self.watched.reload)

    def tick(self) -> None:
        """Look at the registry if it is time for it, or somebody asks for it."""
        touched, files = file_signature(self.watched.reload), self._files()
        is_asked = touched != self._reload_seen or bool(files.keys() - self._known)
        if not is_asked and self.monotonic() < self._next_s:
            return
        self._reload_seen, self._known = touched, frozenset(files)
        failed = [not self.look(uri, file) for file, uri in files.items()]
        self._failures = self._failures + 1 if any(failed) else 0
        if self._has_moved and self._client is not None and not any(failed):
            self._has_moved = False
            self._delete_unused(set(files.values()))
        longest_s = max(_LONGEST_BACKOFF_S, self.watched.poll_s)
        self._next_s = self.monotonic() + min(self.watched.poll_s * 2 ** min(self._failures, 16), longest_s)

    def look(self, uri: str, file: Path) -> bool:
        """Look where an address points, and write it down; return whether it answered with a bundle or a no."""
        before = read_pointer(file)
        if before is None or before.uri != uri:
            before = BundlePointer(uri)
        began = datetime.now(UTC)
        try:
            found = self._resolve(uri)
        except Exception as error:  # noqa: BLE001  a watcher outlives whatever the registry, or its disk, does
            self._client = None
            reason = str(error) if isinstance(error, BeastError) else f"cannot follow {uri}: {error!r}"
            if reason != before.error:
                events.error("registry.unreachable", uri=uri, error=reason)
            _write(file, msgspec.structs.replace(before, tried_at=began, error=reason), durable=False)
            return type(error) is RegistryError
        is_new = found.digest != before.digest or str(found.path) != before.path
        after = BundlePointer(
            uri,
            str(found.path),
            found.version,
            found.digest,
            checked_at=began,
            changed_at=datetime.now(UTC) if is_new else before.changed_at,
            tried_at=began,
        )
        _write(file, after, durable=is_new)
        self._has_moved = self._has_moved or is_new
        if is_new:
            events.info("registry.moved", uri=uri, version=found.version, bundle=found.digest)
        elif before.error is not None:
            events.info("registry.back", uri=uri)
        return True

    def _resolve(self, uri: str) -> ResolvedBundle:
        config = self.watched.config
        if config.database is not None and not config.database.is_file():
            # connecting would make an empty store in its place
            raise RegistryUnavailableError(
                f"there is no MLflow database {config.database}: run where `tracking.uri` points, or train first"
            )
        if self._client is None:
            self._client = connect(config)
        return resolve_with(self._client, ModelUri.parse(uri), config, self.watched.cache_dir)

    def _delete_unused(self, uris: Collection[str]) -> None:
        """Let go of bundles that were replaced; where anything goes wrong all stay, until something moves again."""
        watched = self.watched
        try:
            keep = {
                digest
                for name in {ModelUri.parse(uri).name for uri in uris}
                for digest in aliased_digests(self._client, name, watched.config)
            }
            remember_state(watched.cache_dir, watched.pointer.parent)
            gone = delete_unused(watched.cache_dir, keep)
        except Exception as error:  # noqa: BLE001  a cache that fills up is no reason to stop following
            events.error("registry.cache_not_tidied", cache=str(watched.cache_dir), error=repr(error))
            return
        if gone:
            events.info("registry.bundles_deleted", bundles=[digest[:12] for digest in gone])

    def _files(self) -> dict[Path, str]:
        """Return the address of each pointer that is to be kept."""
        files = {self.watched.pointer: self.watched.uri}
        try:
            more = sorted(self.watched.followed.glob("*.json"))
        except OSError:
            more = []
        for file in more:
            pointer = read_pointer(file)
            if pointer is not None:
                files[file] = pointer.uri
        return files


def main(arguments: list[str] | None = None) -> int:
    """Follow an address until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m beast_ml.registry.watch", description=main.__doc__)
    parser.add_argument("uri", help=f"for example models:/{ROUTER}@{CHAMPION}")
    parser.add_argument("--cache-dir", type=Path, default=None)
    parser.add_argument("--pointer", type=Path, required=True, help="file that says where the address points")
    parser.add_argument("--followed", type=Path, default=None, help="folder of pointers to more addresses")
    parser.add_argument("--reload", type=Path, default=None, help="file whose touch asks for a look now")
    parser.add_argument("--poll", type=float, default=5.0, help="seconds between looks")
    options = parser.parse_args(arguments)
    show_events()
    os.nice(_BEHIND_SERVING)
    watched = Watched(
        uri=str(ModelUri.parse(options.uri)),
        pointer=options.pointer,
        config=TrackingConfig(os.environ.get(TRACKING_URI, TrackingConfig.uri)),
        cache_dir=options.cache_dir or default_cache_dir(),
        poll_s=options.poll,
        followed=options.followed or options.pointer.with_name("followed"),
        reload=options.reload or options.pointer.with_name("reload"),
    )
    over = threading.Event()
    threading.Thread(target=_end_with_input, args=(over,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # unlike being killed, it cleans up half a download
    watcher = Watcher(watched)
    while not over.wait(_TICK_S):
        watcher.tick()
    return 0


def _end_with_input(over: threading.Event) -> None:
    """Wait for the end of the standard input; a look that hangs does not keep the process for long."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    over.set()
    time.sleep(_LAST_WORDS_S)
    os._exit(0)


def _write(file: Path, pointer: BundlePointer, *, durable: bool) -> None:
    try:
        write_pointer(file, pointer, durable=durable)
    except OSError as error:
        events.error("registry.pointer_not_written", file=str(file), error=str(error))


if __name__ == "__main__":
    sys.exit(main())
