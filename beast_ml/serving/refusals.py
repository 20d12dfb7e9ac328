"""Bundles that are not served although the registry points at them, and why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.events import events

__all__ = ["Refusal", "Refusals", "refusal_of"]

_RETRY_S: Final = 300.0


class Refusal(msgspec.Struct, frozen=True):
    """A bundle that is not served although the registry points at it.

    Parameters
    ----------
    digest, version
        Which one.
    reason
        What is wrong with it.
    refused_at
        When.
    rolled_back
        Whether it had been in service. Then it stays out until a reload is asked for; what failed its trial is tried
        again after some minutes.
    """

    digest: str
    reason: str
    refused_at: datetime
    version: int | None = None
    rolled_back: bool = False


class Refusals:
    """One worker's refusals, and those of bundles that any worker of the host took out of service.

    Parameters
    ----------
    folder
        Where the latter are kept, one file each: they outlive a restart.
    monotonic
        A clock in seconds.
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._own: dict[str, tuple[Refusal, float]] = {}

    def add(self, refusal: Refusal) -> None:
        """Refuse a bundle from now on."""
        self._own[refusal.digest] = (refusal, self._monotonic())
        if not refusal.rolled_back:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            incoming = self._folder / f".{refusal.digest}.{os.getpid()}"
            incoming.write_bytes(msgspec.json.encode(refusal))
            incoming.replace(self._file(refusal.digest))
        except OSError as error:  # a full disk must not keep a broken bundle in service
            events.error("runtime.refusal_not_kept", digest=refusal.digest, error=str(error))

    def get(self, digest: str) -> Refusal | None:
        """Return why a bundle is refused; None where it may be tried."""
        own = self._own.get(digest)
        if own is not None:
            refusal, since = own
            if refusal.rolled_back or self._monotonic() - since < _RETRY_S:
                return refusal
            del self._own[digest]
        return self._kept(self._file(digest))

    def all(self) -> tuple[Refusal, ...]:
        """Return all, oldest first."""
        found = {refusal.digest: refusal for refusal, _ in self._own.values()}
        try:
            files = [file for file in self._folder.iterdir() if file.suffix == ".json"]
        except OSError:
            files = []
        for file in files:
            kept = self._kept(file)
            if kept is not None:
                found.setdefault(kept.digest, kept)
        return tuple(sorted(found.values(), key=lambda refusal: refusal.refused_at))

    def lift(self, until: datetime) -> None:
        """Let what was refused before a time be tried again."""
        for refusal in self.all():
            if refusal.refused_at < until:
                self._own.pop(refusal.digest, None)
                self._file(refusal.digest).unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    @staticmethod
    def _kept(file: Path) -> Refusal | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Refusal)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None


def refusal_of(digest: str, version: int | None, reason: str, *, rolled_back: bool = False) -> Refusal:
    """Return a refusal that begins now."""
    return Refusal(digest, reason, datetime.now(UTC), version, rolled_back)
