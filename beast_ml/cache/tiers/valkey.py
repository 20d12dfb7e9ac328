"""The second tier: a Valkey or Redis that all workers of all hosts share. See `valkey_scripts` for what it keeps.

A server that was flushed, or has evicted keys, only misses. Where other things live on the server, too, give it
``maxmemory-policy volatile-ttl`` or ``volatile-lfu``, so that it can make room by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from beast_ml.cache.admission import Worth
from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.tiers import valkey_scripts
from beast_ml.cache.tiers.coding import decode_entry, encode_entry
from beast_ml.cache.tiers.quota import TenantQuota
from beast_ml.databases import valkey_answering, valkey_client
from beast_ml.errors import MissingExtraError, UnavailableError
from beast_ml.events import events

__all__ = ["ValkeyTier"]

_BATCH_BYTES: Final = 8 << 20
_PAGE: Final = 256
_AWAY: Final = "the cache in Valkey does not answer ({error}): the other tiers serve until it does"
_LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999: no entry outlives it, however long it is meant to live."""


class ValkeyTier:
    """A `Tier` in Valkey or Redis.

    Parameters
    ----------
    client
        A `redis.Redis` that decodes nothing; see `open`.
    writer
        The same, more patient, for writing; None: ``client``.
    quota
        What each tenant may fill.
    worth
        What a hit is worth.
    compress_from
        Entries of so many bytes or more are compressed.
    namespace
        What all keys begin with. It is one hash tag, so a cluster keeps a cache on one node.
    clock
        Seconds since the epoch.
    """

    name = "valkey"  # see `Tier`

    def __init__(
        self,
        client: Any,
        writer: Any = None,
        *,
        quota: TenantQuota | None = None,
        worth: Worth | None = None,
        compress_from: int = 1024,
        namespace: str = "beast:cache",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._writer = client, client if writer is None else writer
        self._quota = TenantQuota() if quota is None else quota
        self._worth = Worth() if worth is None else worth
        self._compress_from, self._clock = compress_from, clock
        self._prefix = f"{{{namespace}}}:".encode()
        self._scripts = {
            name: self._client.register_script(valkey_scripts.PRELUDE + getattr(valkey_scripts, name))
            for name in ("GET", "BY_ID", "PUT", "REMOVE", "USAGE")
        }

    @classmethod
    def open(cls, url: str, *, timeout_s: float = 0.1, write_timeout_s: float = 2.0, **settings: Any) -> ValkeyTier:
        """Return the tier at an address, ``redis://host:port``; it is connected to at the first call.

        Parameters
        ----------
        url
            Of the server.
        timeout_s, write_timeout_s
            A server that is silent for longer is away, for lookups and for writing.
        settings
            Of the tier, as its constructor takes them.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingExtraError("A cache in Valkey", "cluster") from error

        def client(patience_s: float) -> Any:
            # Once more at once, on another connection, where one was cut: the server may have been restarted since.
            again = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
            return valkey_client(
                url,
                "A cache",
                socket_timeout=patience_s,
                socket_connect_timeout=timeout_s,
                retry=again,
                decode_responses=False,
            )

        return cls(client(timeout_s), client(write_timeout_s), **settings)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Return the entries under those keys that are here, in one round trip."""
        asked = list(dict.fromkeys(keys))
        bodies = self._run("GET", *asked) if asked else []
        return {key: entry for key, body in zip(asked, bodies, strict=True) if (entry := self._alive(body)) is not None}

    def by_id(self, entry_ids: Sequence[str]) -> dict[str, CacheEntry]:
        """Return the entries with those ids that are here, in one round trip."""
        asked = list(dict.fromkeys(entry_ids))
        bodies = self._run("BY_ID", *asked) if asked else []
        return {name: entry for name, body in zip(asked, bodies, strict=True) if (entry := self._alive(body))}

    def put_many(self, entries: Sequence[CacheEntry]) -> None:
        """Keep entries, in one round trip for each 8 MiB; an entry with a known id replaces it.

        A server that has no room, and may not make any, keeps what it has.
        """
        now = self._clock()
        rows: list[bytes | str | int | float] = []
        n_bytes = 0
        for entry in entries:
            body = encode_entry(entry, self._compress_from)
            rows += self._row(entry, body, now)
            n_bytes += len(body)
            if n_bytes >= _BATCH_BYTES:
                self._put(rows, now)
                rows, n_bytes = [], 0
        if rows:
            self._put(rows, now)

    def remove(self, entry_ids: Sequence[str]) -> int:
        """Forget entries; return how many were here."""
        if not entry_ids:
            return 0
        return int(self._run("REMOVE", self._now_ms(), *dict.fromkeys(entry_ids), client=self._writer))

    def scan(self, tenant_id: str | None = None) -> Iterator[CacheEntry]:
        """Return every entry that has not expired, oldest first; the ids of all are held in memory."""
        prefix = self._prefix
        born: dict[bytes, float] = {}
        with valkey_answering(_AWAY):
            tenants = self._writer.smembers(prefix + b"tenants") if tenant_id is None else [tenant_id.encode()]
            for tenant in tenants:
                for field, noted in self._writer.hscan_iter(prefix + b"m:" + tenant, count=_PAGE):
                    if field.startswith(b"i"):
                        born[field[1:]] = float(noted.split()[1])
        ordered = sorted(born, key=lambda name: (born[name], name))
        for start in range(0, len(ordered), _PAGE):
            for body in self._run("BY_ID", *ordered[start : start + _PAGE], client=self._writer):
                entry = self._alive(body)
                if entry is not None:
                    yield entry

    def usage(self) -> Mapping[str, tuple[int, int]]:
        """Return (entries, bytes) by tenant."""
        rows = self._run("USAGE", self._now_ms(), client=self._writer)
        return {tenant.decode(): (int(n), int(size)) for tenant, n, size in rows}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._writer.close()

    def _now_ms(self) -> int:
        return math.floor(self._clock() * 1e3)

    def _row(self, entry: CacheEntry, body: bytes, now: float) -> tuple[bytes | str | int | float, ...]:
        key = entry.key
        dies_ms = math.ceil(min(entry.expires_at * 1e3, _LATEST_MS))
        return (
            entry.entry_id,
            key.tenant_id,
            key.exact,
            key.normalised,
            f"{entry.created_at:020.6f}",  # as wide as any other, so that they sort as texts
            dies_ms,
            f"{self._worth.of(entry) / len(body):.17g}",
            body,
            int(entry.expires_at > now),
        )

    def _put(self, rows: Sequence[bytes | str | int | float], now: float) -> None:
        from redis.exceptions import OutOfMemoryError

        quota = self._quota
        try:
            self._run("PUT", math.floor(now * 1e3), quota.max_entries, quota.max_bytes, *rows, client=self._writer)
        except UnavailableError as error:
            if not isinstance(error.__cause__, OutOfMemoryError):
                raise
            events.warning("cache.valkey_full", advice="raise maxmemory, or set maxmemory-policy volatile-ttl")

    def _alive(self, body: bytes | None) -> CacheEntry | None:
        entry = None if body is None else decode_entry(body)
        return entry if entry is not None and entry.expires_at > self._clock() else None

    def _run(self, script: str, *arguments: Any, client: Any = None) -> Any:
        with valkey_answering(_AWAY):
            return self._scripts[script](keys=[self._prefix], args=arguments, client=client)
