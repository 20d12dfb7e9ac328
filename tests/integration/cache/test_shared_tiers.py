from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from beast_ml.cache.tiers.contract import Tier
from beast_ml.cache.tiers.quota import TenantQuota
from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.tiers.sql_tables import TABLES
from beast_ml.cache.tiers.valkey import ValkeyTier
from beast_ml.errors import InputError, UnavailableError
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.tier_conformance import START, MakeTier, TierConformance


def quota_of(max_entries: int | None, max_bytes: int | None) -> TenantQuota:
    return TenantQuota(max_entries=max_entries or 10_000, max_bytes=max_bytes or 100_000_000)


class SharedTierConformance(TierConformance):
    """What only tiers do that do not count lookups."""

    n_examples = 6
    n_lookups = 1000

    def test_the_least_valuable_leave_first_and_among_equals_the_oldest(self, make_tier: MakeTier) -> None:
        tier = make_tier(lambda: START, max_entries=10)
        for n in range(10):
            cost = 1.0 if n in (0, 5) else 0.001
            tier.put_many([cache_entry(f"{n}", cache_key("acme", f"{n}"), START + n, cost_usd=cost)])
        for n in range(10, 14):
            tier.put_many([cache_entry(f"{n}", cache_key("acme", f"{n}"), START + n, cost_usd=0.001)])
        assert [entry.entry_id for entry in tier.scan()] == ["0", "5", "6", "7", "8", "9", "10", "11", "12", "13"]

    def test_in_the_end_the_most_valuable_leave_too(self, make_tier: MakeTier) -> None:
        tier = make_tier(lambda: START, max_entries=4)
        tier.put_many([cache_entry("dear", cache_key("acme", "dear"), START, cost_usd=0.01)])
        for n in range(60):
            tier.put_many([cache_entry(f"{n}", cache_key("acme", f"{n}"), START + n, cost_usd=0.001)])
        assert tier.by_id(["dear"]) == {}

    def test_another_process_sees_what_one_has_put(self, make_tier: MakeTier, other: Tier) -> None:
        tier = make_tier(lambda: START)
        entry = cache_entry("one", cache_key(), START)
        tier.put_many([entry])
        assert other.get_many([entry.key.exact]) == {entry.key.exact: entry}


class TestSqliteTier(SharedTierConformance):
    @pytest.fixture
    def make_tier(self, tmp_path: Path) -> Iterator[MakeTier]:
        made: list[SqlTier] = []

        def make(clock: Callable[[], float], *, max_entries: int | None = None, max_bytes: int | None = None) -> Tier:
            for tier in made:
                TABLES.drop_all(tier._engine)
            made.append(SqlTier.open(f"sqlite:///{tmp_path}/c.db", quota=quota_of(max_entries, max_bytes), clock=clock))
            return made[-1]

        yield make
        for tier in made:
            tier.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[Tier]:
        tier = SqlTier.open(f"sqlite:///{tmp_path}/c.db", clock=lambda: START)
        yield tier
        tier.close()


class TestPostgresTier(SharedTierConformance):
    @pytest.fixture
    def make_tier(self, postgres_url: str) -> Iterator[MakeTier]:
        made: list[SqlTier] = []

        def make(clock: Callable[[], float], *, max_entries: int | None = None, max_bytes: int | None = None) -> Tier:
            for tier in made:
                with tier._engine.begin() as connection:
                    for table in reversed(TABLES.sorted_tables):
                        connection.execute(sa.delete(table).where(table.c[0] != "schema_version"))
                tier.close()
            made.append(SqlTier.open(postgres_url, quota=quota_of(max_entries, max_bytes), clock=clock))
            return made[-1]

        yield make
        for tier in made:
            tier.close()

    @pytest.fixture
    def other(self, postgres_url: str) -> Iterator[Tier]:
        tier = SqlTier.open(postgres_url, clock=lambda: START)
        yield tier
        tier.close()

    def test_a_text_that_postgresql_cannot_hold_is_refused(self, make_tier: MakeTier) -> None:
        tier = make_tier(lambda: START)
        with pytest.raises(InputError, match="cannot be kept"):
            tier.put_many([cache_entry("a\0b", cache_key(), START)])


class TestValkeyTier(SharedTierConformance):
    n_examples = 15

    @pytest.fixture
    def make_tier(self, valkey_url: str) -> Iterator[MakeTier]:
        made: list[ValkeyTier] = []

        def make(clock: Callable[[], float], *, max_entries: int | None = None, max_bytes: int | None = None) -> Tier:
            with redis.Redis.from_url(valkey_url) as client:
                client.flushdb()
            made.append(ValkeyTier.open(valkey_url, timeout_s=5.0, quota=quota_of(max_entries, max_bytes), clock=clock))
            return made[-1]

        yield make
        for tier in made:
            tier.close()

    @pytest.fixture
    def other(self, valkey_url: str) -> Iterator[Tier]:
        tier = ValkeyTier.open(valkey_url, timeout_s=5.0, clock=lambda: START)
        yield tier
        tier.close()

    def test_lost_keys_are_misses_and_the_books_mend_themselves(self, make_tier: MakeTier, valkey_url: str) -> None:
        tier = make_tier(lambda: START)
        entries = [cache_entry(f"{n}", cache_key("acme", f"{n}"), START + n) for n in range(12)]
        with redis.Redis.from_url(valkey_url) as client:
            for pattern in ("*e:*", "*x:*", "*n:*", "*m:*", "*d:*", "*p:*", "*tenants"):
                tier.put_many(entries)
                for key in list(client.scan_iter(pattern)):
                    client.delete(key)
                found = tier.get_many([entry.key.exact for entry in entries])
                assert all(entry.key.exact == digest for digest, entry in found.items())
                assert set(tier.by_id([entry.entry_id for entry in entries]).values()) <= set(entries)
                assert tier.usage().get("acme", (0, 0))[1] >= 0
                assert set(tier.scan()) <= set(entries)
                tier.put_many(entries)
                assert tier.usage()["acme"][0] == 12
                assert len(tier.get_many([entry.key.exact for entry in entries])) == 12

    def test_nothing_is_left_on_the_server_when_all_has_expired(self, make_tier: MakeTier, valkey_url: str) -> None:
        long_ago = START - 2 * 86_400.0  # by the server's clock, too
        tier = make_tier(lambda: long_ago)
        tier.put_many([cache_entry("one", cache_key(), long_ago, life_s=60.0)])
        with redis.Redis.from_url(valkey_url) as client:
            assert [key for key in client.scan_iter() if not key.endswith(b"tenants")] == []

    def test_a_server_without_room_keeps_what_it_has(self, make_tier: MakeTier, valkey_url: str) -> None:
        tier = make_tier(lambda: START)
        entry = cache_entry("one", cache_key(), START)
        tier.put_many([entry])
        with redis.Redis.from_url(valkey_url) as client:
            client.config_set("maxmemory", 1)
            try:
                tier.put_many([cache_entry("two", cache_key("acme", "two"), START)])
                assert tier.get_many([entry.key.exact]) == {entry.key.exact: entry}
            finally:
                client.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    "tier",
    [ValkeyTier.open("redis://127.0.0.1:1"), SqlTier.open("postgresql://nobody@127.0.0.1:1/none")],
    ids=["valkey", "postgresql"],
)
def test_a_tier_that_is_away_says_so_whatever_is_asked(tier: Tier) -> None:
    entry = cache_entry("one", cache_key(), START)
    for call in (
        lambda: tier.get_many([b"key"]),
        lambda: tier.by_id(["one"]),
        lambda: tier.put_many([entry]),
        lambda: tier.remove(["one"]),
        lambda: list(tier.scan()),
        tier.usage,
    ):
        with pytest.raises(UnavailableError, match="does not answer"):
            call()
    tier.close()


def test_malformed_addresses_are_refused() -> None:
    with pytest.raises(InputError, match="redis_url"):
        ValkeyTier.open("nonsense")
    for url in ("nonsense", "mysql://host/db"):
        with pytest.raises(InputError, match="database_url"):
            SqlTier.open(url)
