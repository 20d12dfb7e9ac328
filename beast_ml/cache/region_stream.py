"""Entries on their way between regions: streams in the Valkey of the home region, one of each region's own entries.

Each other region takes them once, whichever of its hosts asks. A region that is away for long misses what the streams
have dropped meanwhile; one that begins gets all that they hold. They are bounded, for budgets live on the same server:
20,000 entries of 16 KiB, a region, at most, of the last seven days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tiers.coding import decode_entry, encode_entry
from beast_ml.databases import valkey_answering, valkey_client

__all__ = ["RegionStream", "Taken"]

_REGIONS: Final = "{beast:cache}:regions"
_STREAM: Final = "{beast:cache}:region:"
_MAX_ENTRIES: Final = 20_000
_MAX_BYTES: Final = 16 << 10
_KEEP_S: Final = 7 * 86_400
_COMPRESS_FROM: Final = 512
_AT_ONCE: Final = 64
"""What a worker takes in, it takes in between two requests."""
_BODY: Final = b"e"
_AWAY: Final = "the home region's Valkey does not answer: {error}"


class Taken(msgspec.Struct, frozen=True):
    """What a region got of the others.

    Parameters
    ----------
    entries
        In no order; each is got once.
    n_waiting
        That are left to be taken.
    strangers
        Regions with another secret: their keys say nothing here.
    """

    entries: tuple[CacheEntry, ...]
    n_waiting: int
    strangers: tuple[str, ...]


class RegionStream:
    """One region's side of the streams; what writes to it may be a `WriteBack`.

    Parameters
    ----------
    client
        A `redis.Redis` that decodes nothing; see `open`.
    region
        Whose side.
    secret
        Of the cache's keys: regions that have another one are left alone.
    clock
        Seconds since the epoch.
    """

    name = "regions"
    """What it is called in metrics; see `EntrySink`."""

    def __init__(self, client: Any, region: str, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._client, self._region, self._clock = client, region, clock
        self._check = blake2b(b"region", digest_size=16, key=blake2b(secret, digest_size=32).digest()).hexdigest()
        self._own = f"{_STREAM}{region}"
        self._joined: set[str] = set()

    @classmethod
    def open(cls, url: str, region: str, secret: bytes) -> RegionStream:
        """Return the side of a region; the Valkey at ``redis://host:port`` is connected to at the first call.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        client = valkey_client(url, "The regions' caches", socket_timeout=5.0, socket_connect_timeout=3.0)
        return cls(client, region, secret)

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Send entries of this region to the others, in one round trip; those of more than 16 KiB stay here.

        Raises
        ------
        UnavailableError
            If the home does not answer.
        """
        bodies = (encode_entry(entry, _COMPRESS_FROM) for entry in entries)
        with valkey_answering(_AWAY), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(_REGIONS, self._region, self._check)
            for body in bodies:
                if len(body) <= _MAX_BYTES:
                    pipeline.xadd(self._own, {_BODY: body}, maxlen=_MAX_ENTRIES)
            pipeline.xtrim(self._own, minid=int((self._clock() - _KEEP_S) * 1000), approximate=False)
            pipeline.expire(self._own, _KEEP_S)  # of a region that sends no more
            pipeline.execute()

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Do nothing: what is removed is invalid in every region, and what was sent is not asked by its id."""
        return 0

    def take(self) -> Taken:
        """Return some of what other regions have sent, and nobody of this one has taken.

        Raises
        ------
        UnavailableError
            If the home does not answer.
        """
        from redis.exceptions import ResponseError

        with valkey_answering(_AWAY):
            others, strangers = self._others()
            for stream in others:
                self._join(stream)
            if not others:
                return Taken((), 0, strangers)
            asked, of_each = dict.fromkeys(others, ">"), max(_AT_ONCE // len(others), 1)
            try:
                replies = self._client.xreadgroup(self._region, "any", asked, count=of_each, noack=True)
            except ResponseError:  # the home has lost its streams: there will be new ones
                self._joined.clear()
                return Taken((), 0, strangers)
            n_waiting = self._waiting(others) if replies else 0
        now = self._clock()
        bodies = [fields.get(_BODY, b"") for _, items in replies for _, fields in items]
        entries = (entry for body in bodies if (entry := decode_entry(body)) is not None and entry.expires_at > now)
        return Taken(tuple(entries), n_waiting, strangers)

    def forget(self, tenant_id: str) -> int:
        """Delete a tenant's entries from all regions' streams; return how many there were.

        Raises
        ------
        UnavailableError
            If the home does not answer.
        """
        n = 0
        with valkey_answering(_AWAY):
            for stream in self._client.scan_iter(f"{_STREAM}*"):
                last = "-"
                while items := self._client.xrange(stream, last, count=_AT_ONCE):
                    last = b"(" + items[-1][0]
                    entries = [(number, decode_entry(fields.get(_BODY, b""))) for number, fields in items]
                    gone = [each for each, entry in entries if entry is not None and entry.key.tenant_id == tenant_id]
                    n += self._client.xdel(stream, *gone) if gone else 0
        return n

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _others(self) -> tuple[list[str], tuple[str, ...]]:
        """Return the streams of the other regions, and which regions have another secret."""
        checks = {region.decode(): check.decode() for region, check in self._client.hgetall(_REGIONS).items()}
        checks.pop(self._region, None)
        others = [f"{_STREAM}{name}" for name, check in sorted(checks.items()) if check == self._check]
        return others, tuple(name for name, check in sorted(checks.items()) if check != self._check)

    def _join(self, stream: str) -> None:
        from redis.exceptions import ResponseError

        if stream in self._joined:
            return
        try:
            self._client.xgroup_create(stream, self._region, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # else another host of this region was first
                raise
        self._joined.add(stream)

    def _waiting(self, streams: Sequence[str]) -> int:
        with self._client.pipeline(transaction=False) as pipeline:
            for stream in streams:
                pipeline.xinfo_groups(stream)
            groups = [group for found in pipeline.execute() for group in found]
        return sum(group.get("lag") or 0 for group in groups if group["name"] == self._region.encode())
