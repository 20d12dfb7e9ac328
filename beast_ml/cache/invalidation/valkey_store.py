"""Invalidations in Valkey or Redis, for hosts that share no database.

All of it is one sorted set, so that it is lost whole or not at all, whatever a server evicts: scopes and bans scored
with the numbers of their changes, a mark scored with the number of the last one, and a head, scored -1, with the
store's incarnation. A change is one Lua script that does nothing if another came before it; then it is tried again.
The server may lose everything: whoever still knows it gives it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from beast_ml.cache.invalidation.bans import Ban
from beast_ml.cache.invalidation.store import MAX_SCOPES, Position, Record, reconcile
from beast_ml.databases import valkey_answering, valkey_client
from beast_ml.errors import UnavailableError

__all__ = ["ValkeyInvalidations"]

_KEY: Final = "{beast:cache}:invalidation"
_AWAY: Final = "the Valkey of the cache's invalidations does not answer: {error}"
_DECODER: Final = msgspec.msgpack.Decoder(Ban)

# Members: "@" + JSON [incarnation, floor, lineage], "." (the mark), "s" + scope, "b" + 32 hexadecimal digits + ban.
_POSITION: Final = """
return {redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES'), redis.call('ZSCORE', KEYS[1], '.')}
"""

_READ: Final = """
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES')
return {head, redis.call('ZSCORE', KEYS[1], '.'), members}
"""

# The head and the mark that are expected, "" where there is no store; the new ones; then (score, member)..., with the
# score "-" to remove one. Returns 0 if the store is not as expected.
_CHANGE: Final = """
local key = KEYS[1]
local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
local mark = redis.call('ZSCORE', key, '.')
local here = (head[2] == '-1' and mark) and head[1] or ''
if here ~= ARGV[1] or (here ~= '' and tonumber(mark) ~= tonumber(ARGV[2])) then return 0 end
if here == '' then redis.call('DEL', key) elseif here ~= ARGV[3] then redis.call('ZREM', key, here) end
redis.call('ZADD', key, -1, ARGV[3], ARGV[4], '.')
for i = 5, #ARGV, 2 do
  if ARGV[i] == '-' then redis.call('ZREM', key, ARGV[i + 1]) else redis.call('ZADD', key, ARGV[i], ARGV[i + 1]) end
end
return 1
"""


class ValkeyInvalidations:
    """An `InvalidationStore` in Valkey or Redis.

    Parameters
    ----------
    client
        A `redis.Redis` that decodes nothing.
    max_scopes
        How many scopes to keep one by one; see `store.MAX_SCOPES`.
    """

    def __init__(self, client: Any, max_scopes: int = MAX_SCOPES) -> None:
        self._client, self._max_scopes = client, max_scopes
        texts = {"position": _POSITION, "read": _READ, "change": _CHANGE}
        self._scripts = {name: client.register_script(text) for name, text in texts.items()}

    @classmethod
    def open(cls, url: str) -> ValkeyInvalidations:
        """Return the store at an address, ``redis://host:port``; it is connected to at the first call.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        return cls(valkey_client(url, "The cache's invalidations", socket_timeout=5.0, socket_connect_timeout=3.0))

    def position(self) -> Position:
        """Return how far it has come; see `InvalidationStore`."""
        return _meta(*self._run("position")).position

    def read(self, since: int = -1) -> Record:
        """Return the changes numbered above `since`; see `InvalidationStore`."""
        return self._read(since)[0]

    def append(
        self, expected: Position, scopes: Sequence[str], bans: Sequence[Ban] = (), forget: Sequence[str] = ()
    ) -> Position | None:
        """Make one change; see `InvalidationStore`."""
        while True:
            head, mark = self._run("position")
            held = _meta(head, mark)
            if not held.position.incarnation or not held.position.continues(expected):
                return None
            n = held.position.n + 1
            news = Record(
                Position(held.position.incarnation, n),
                held.floor,
                dict.fromkeys(scopes, n),
                {ban.ban_id: (n, ban) for ban in bans},
                held.lineage,
            )
            gone = [_ban_member(ban) for name, (_, ban) in self.read().bans.items() if name in forget] if forget else []
            if self._change(head, held, news, gone):
                self._keep_small()
                return news.position

    def merge(self, known: Record) -> Position:
        """Give back what the store has lost; see `InvalidationStore`."""
        while True:
            held, head = self._read()
            missing = reconcile(held, known)
            if missing is None:
                return held.position
            if self._change(head, held, missing):
                self._keep_small()
                return missing.position

    def _keep_small(self) -> None:
        with valkey_answering(_AWAY):
            if self._client.zcard(_KEY) <= self._max_scopes:
                return
        held, head = self._read()
        if len(held.epochs) > self._max_scopes:
            floor = max(held.floor, sorted(held.epochs.values())[len(held.epochs) // 2])
            gone = [_scope_member(name) for name, n in held.epochs.items() if n <= floor]
            self._change(head, held, Record(held.position, floor, lineage=held.lineage), gone)  # or the next one does

    def _change(self, head: Sequence[bytes], held: Record, to: Record, gone: Sequence[bytes] = ()) -> bool:
        """Change the store, unless another process has meanwhile."""
        arguments: list[Any] = [head[0], held.position.n] if held.position.incarnation else [b"", 0]
        lineage = {str(incarnation): n for incarnation, n in to.lineage.items()}
        arguments += [b"@" + msgspec.json.encode([to.position.incarnation, to.floor, lineage]), to.position.n]
        for name, n in to.epochs.items():
            arguments += [n, _scope_member(name)]
        for n, ban in to.bans.values():
            arguments += [n, _ban_member(ban)]
        for member in gone:
            arguments += ["-", member]
        return bool(self._run("change", *arguments))

    def _read(self, since: int = -1) -> tuple[Record, Sequence[bytes]]:
        head, mark, members = self._run("read", since)
        meta = _meta(head, mark)
        epochs: dict[str, int] = {}
        bans: dict[str, tuple[int, Ban]] = {}
        with _known_to_this_release():
            for member, score in zip(members[::2], members[1::2], strict=True) if meta.position.incarnation else ():
                if member[:1] == b"s":
                    epochs[member[1:].decode()] = int(float(score))
                elif member[:1] == b"b":
                    bans[member[1:33].decode()] = int(float(score)), _DECODER.decode(member[33:])
        return Record(meta.position, meta.floor, epochs, bans, meta.lineage), head

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _run(self, script: str, *arguments: Any) -> Any:
        with valkey_answering(_AWAY):
            return self._scripts[script](keys=[_KEY], args=list(arguments))


@contextmanager
def _known_to_this_release() -> Iterator[None]:
    """Where a later release wrote something else, it is not known here what is invalid."""
    try:
        yield
    except msgspec.DecodeError as error:
        raise UnavailableError(
            f"what Valkey has of the cache's invalidations is of another release: {error}"
        ) from error


def _meta(head: Sequence[bytes], mark: bytes | None) -> Record:
    if len(head) < 2 or head[1] != b"-1" or mark is None:
        return Record()
    with _known_to_this_release():
        incarnation, floor, lineage = msgspec.json.decode(head[0][1:], type=tuple[int, int, dict[int, int]])
    return Record(Position(incarnation, int(float(mark))), floor, lineage=lineage)


def _scope_member(name: str) -> bytes:
    return b"s" + name.encode()


def _ban_member(ban: Ban) -> bytes:
    return b"b" + ban.ban_id.encode() + msgspec.msgpack.encode(ban)
