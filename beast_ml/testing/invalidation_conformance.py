"""What every store of invalidations must do: a test suite to inherit."""

# ruff: noqa: S101 - a test suite, which happens to be public

from __future__ import annotations

import threading

import numpy as np

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.invalidation.bans import Ban, FalseHit, false_hit, radius_ban
from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.store import InvalidationStore, Position, Record

__all__ = ["InvalidationStoreContract", "entry_for", "key_for"]


def key_for(text: str, tenant_id: str = "acme", partition: bytes = b"p") -> CacheKey:
    """Return a key whose digests are as readable as its text."""
    exact = partition + text.encode()
    return CacheKey(
        tenant_id=tenant_id, partition=partition, exact=exact, normalised=exact.strip().lower(), text=text.strip()
    )


def entry_for(key: CacheKey, epoch: int, entry_id: str = "1", **fields: object) -> CacheEntry:
    """Return an entry that never expires."""
    values = {"answer": b"", "created_at": 0.0, "expires_at": 1e12, "model": "m"} | fields
    return CacheEntry(entry_id=entry_id, key=key, epoch=epoch, **values)  # type: ignore[arg-type]


def _founded(store: InvalidationStore) -> Position:
    return store.merge(Record())


def _ban() -> FalseHit:
    return false_hit(key_for("enable 2FA"), entry_for(key_for("disable 2FA"), 0), "semantic")


class InvalidationStoreContract:
    """Inherit it and give the fixtures ``store`` (an empty one) and ``small_store`` (an empty one of 10 scopes)."""

    def test_is_founded_once(self, store: InvalidationStore) -> None:
        """Giving back nothing to an empty store makes it one."""
        assert store.position() == Position()
        assert store.read() == Record()
        position = _founded(store)
        assert position.incarnation > 0
        assert position.n == 0
        assert _founded(store) == position == store.position()
        assert store.read() == Record(position)

    def test_numbers_its_changes_and_returns_what_is_new(self, store: InvalidationStore) -> None:
        """Each scope is at the number of its last change."""
        at = _founded(store)
        for n, scopes in enumerate((["a", "b"], ["b"], ["ünï"]), start=1):
            moved = store.append(at, scopes)
            assert moved == Position(at.incarnation, n)
        assert store.read().epochs == {"a": 1, "b": 2, "ünï": 3}
        assert store.read(1).epochs == {"b": 2, "ünï": 3}
        assert store.read(3).epochs == {}

    def test_keeps_bans_once_and_as_they_are(self, store: InvalidationStore) -> None:
        """Reported again, one is as new; forgotten, it is gone."""
        at = _founded(store)
        pair, near = _ban(), radius_ban("acme", np.eye(1, 8, dtype=np.float32)[0], 0.1, b"\x00p")
        assert store.append(at, [], [pair, near]) is not None
        assert store.append(at, ["x"], [pair]) is not None
        assert store.read().bans == {pair.ban_id: (2, pair), near.ban_id: (1, near)}
        assert store.append(at, [], [], [near.ban_id]) is not None
        assert list(store.read().bans) == [pair.ban_id]
        assert store.position().n == 3

    def test_refuses_changes_from_who_knows_another_store(self, store: InvalidationStore) -> None:
        """Whoever knows more than the store must give it back first."""
        assert store.append(Position(), ["a"]) is None
        at = _founded(store)
        for strange in (
            Position(at.incarnation + 1, 0),
            Position(at.incarnation, 1),
        ):
            assert store.append(strange, ["a"]) is None
        assert store.read() == Record(at)

    def test_an_empty_store_takes_over_what_is_given_back(self, store: InvalidationStore) -> None:
        """Under the same numbers, so that entries hold on; the next change comes after all of them."""
        known = _known({"a": 3, "b": 9}, [(4, _ban())], floor=2)
        position = store.merge(known)
        assert position.incarnation != known.position.incarnation
        assert position.n == 10
        found = store.read()
        assert (found.floor, found.epochs, found.bans) == (2, known.epochs, known.bans)
        assert found.lineage == {77: 9}

    def test_what_is_missing_comes_back_under_a_new_number(self, store: InvalidationStore) -> None:
        """Of two hosts that knew different things, the second to come is heard too."""
        restored = store.merge(_known({"a": 3, "b": 5}, []))
        assert store.append(restored, ["c", "a"]) == Position(restored.incarnation, 7)
        position = store.merge(_known({"a": 4, "b": 7, "d": 6}, [(7, _ban())]))
        assert position == Position(restored.incarnation, 8)
        assert store.read().epochs == {"a": 7, "b": 8, "c": 7, "d": 8}  # they agreed up to 5
        assert {at for at, _ in store.read().bans.values()} == {8}

    def test_a_store_that_went_back_begins_a_new_line(self, store: InvalidationStore) -> None:
        """As after a backup was restored: nobody knows what its numbers were used for since."""
        old = store.merge(_known({"a": 1}, []))
        position = store.merge(_known({"a": 1}, [], n=50, incarnation=old.incarnation))
        assert position.n == 51
        assert position.incarnation != old.incarnation
        assert old.incarnation not in store.read().lineage
        assert store.append(old, ["b"]) is None

    def test_a_younger_store_takes_what_an_older_one_knew(self, store: InvalidationStore) -> None:
        """Although its entries are on another line."""
        at = _founded(store)
        assert store.merge(_known({"a": 3}, [(2, _ban())])) == Position(at.incarnation, 4)
        assert store.read().epochs == {"a": 4}
        assert store.read().lineage == {}
        assert len(store.read().bans) == 1

    def test_giving_back_what_is_there_changes_nothing(self, store: InvalidationStore) -> None:
        """So everyone may do it."""
        at = _founded(store)
        assert store.append(at, ["a"], [_ban()]) is not None
        record = store.read()
        assert store.merge(record) == record.position == store.position()

    def test_too_many_scopes_become_a_floor(self, small_store: InvalidationStore) -> None:
        """What is forgotten one by one is invalid as a whole."""
        at = _founded(small_store)
        assert small_store.append(at, [], [_ban()]) is not None
        for i in range(25):
            assert small_store.append(at, [f"s{i}"]) is not None
        found = small_store.read()
        assert len(found.epochs) <= 10
        assert found.position.n == 26
        assert found.floor > 0
        assert set(found.epochs.values()) == set(range(found.floor + 1, 27))
        assert len(found.bans) == 1

    def test_changes_from_many_at_once_all_count(self, store: InvalidationStore) -> None:
        """Each has a number of its own."""
        at = _founded(store)
        begin = threading.Barrier(6)
        done: list[Position | None] = []

        def change(i: int) -> None:
            begin.wait()
            done.extend(store.append(at, [f"{i}/{j}"]) for j in range(5))

        threads = [threading.Thread(target=change, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(position.n for position in done if position is not None) == list(range(1, 31))
        assert sorted(store.read().epochs.values()) == list(range(1, 31))

    def test_two_processes_agree(self, store: InvalidationStore) -> None:
        """One invalidates, the other hears; answers that were being written meanwhile are invalid too."""
        here, there = Invalidator(store), Invalidator(store)
        here.refresh()
        there.refresh()
        assert here.table.stamp() == there.table.stamp() > 0
        tagged = entry_for(key_for("hi"), here.table.stamp(), tags=("prices",))
        here.invalidate(Scope("tag", "prices"))
        being_written = entry_for(key_for("ho"), there.table.stamp(), tags=("prices",))
        assert not here.table.holds(tagged)
        assert there.table.holds(tagged)
        assert there.refresh()
        assert not there.table.holds(tagged)
        assert not here.table.holds(being_written)
        assert here.table.holds(entry_for(key_for("hu"), there.table.stamp(), tags=("prices",)))
        assert not there.refresh()


def _known(
    epochs: dict[str, int], bans: list[tuple[int, Ban]], floor: int = 0, n: int = 0, incarnation: int = 77
) -> Record:
    last = max([n, *epochs.values(), *(at for at, _ in bans)])
    return Record(Position(incarnation, last), floor, epochs, {ban.ban_id: (at, ban) for at, ban in bans})
