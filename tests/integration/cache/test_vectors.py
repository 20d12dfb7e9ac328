from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa

from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.cache.tiers.sql_vectors import SqlVectors
from beast_ml.errors import InputError, UnavailableError
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.tier_conformance import START

N_DIMENSIONS, N_ENTRIES = 24, 300
NOW = [START]


@pytest.fixture
def tier(postgres_url: str) -> Iterator[SqlTier]:
    NOW[0] = START
    tier = SqlTier.open(postgres_url, clock=lambda: NOW[0])
    yield tier
    tier.close()


def embeddings(n: int) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(n, N_DIMENSIONS))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def filled(tier: SqlTier, vectors: SqlVectors, n: int = N_ENTRIES) -> np.ndarray:
    """Put entries of two partitions in turn, one of three of which dies early; return their embeddings."""
    entries = [
        cache_entry(f"{k}", cache_key(("a", "b")[k % 2], f"{k}"), START, life_s=60.0 if k % 3 == 0 else 600.0)
        for k in range(n)
    ]
    tier.put_many(entries)
    rows = embeddings(n)
    assert vectors.put_many([(e.entry_id, e.key.partition, row) for e, row in zip(entries, rows, strict=True)]) == n
    return rows


@pytest.mark.parametrize("approximate", [False, True], ids=["exact", "approximate"])
def test_the_nearest_living_entries_of_the_partition_are_found(tier: SqlTier, approximate: bool) -> None:
    vectors = tier.vectors(N_DIMENSIONS, approximate=approximate)
    rows = filled(tier, vectors)
    NOW[0] = START + 60.0
    query = rows[5] + 0.1 * rows[17]
    cosines = rows @ query / np.linalg.norm(query)
    living = [k for k in range(N_ENTRIES) if k % 2 == 1 and k % 3]
    expected = sorted(living, key=lambda k: -cosines[k])[:10]
    found = vectors.near(cache_key("b").partition, query, 10)
    assert [int(name) for name, _ in found] == expected
    np.testing.assert_allclose([cosine for _, cosine in found], cosines[expected], atol=1e-6)
    assert vectors.near(b"another partition", query, 10) == []


def test_a_vector_leaves_with_its_entry_and_none_comes_without_one(tier: SqlTier) -> None:
    vectors = tier.vectors(N_DIMENSIONS)
    rows = filled(tier, vectors, 10)
    tier.remove(["1", "3"])
    found = vectors.near(cache_key("b").partition, rows[1], 10)
    assert {name for name, _ in found} == {"5", "7", "9"}
    assert vectors.put_many([("1", cache_key("b").partition, rows[1])]) == 0


def test_another_host_finds_them_and_a_vector_put_again_replaces_the_first(tier: SqlTier, postgres_url: str) -> None:
    vectors = tier.vectors(N_DIMENSIONS)
    rows = filled(tier, vectors, 10)
    vectors.put_many([("5", cache_key("b").partition, rows[1])])
    other = SqlTier.open(postgres_url, clock=lambda: NOW[0])
    near = other.vectors(N_DIMENSIONS).near(cache_key("b").partition, rows[1], 2)
    assert {name for name, _ in near} == {"1", "5"}
    other.close()


def test_a_server_where_the_extension_may_not_be_made_says_what_to_do(tier: SqlTier, postgres_url: str) -> None:
    tier.put_many([cache_entry("one", cache_key(), START)])
    with tier._engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS plain",
            "CREATE ROLE plain LOGIN PASSWORD 'plain'",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO plain",
            "GRANT CREATE, USAGE ON SCHEMA public TO plain",
        ):
            connection.exec_driver_sql(statement)
        # So that it is not for lack of rights in the database alone.
        connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {connection.engine.url.database} TO plain")
    url = sa.make_url(postgres_url).set(username="plain", password="plain")
    plain = SqlTier.open(url.render_as_string(hide_password=False), clock=lambda: NOW[0])
    with pytest.raises(UnavailableError, match="CREATE EXTENSION vector"):
        plain.vectors(N_DIMENSIONS).near(b"partition", np.ones(N_DIMENSIONS), 1)
    plain.close()
    with tier._engine.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY plain")
        connection.exec_driver_sql("DROP ROLE plain")


def test_what_cannot_be_searched_is_refused(tier: SqlTier, tmp_path: object) -> None:
    vectors = tier.vectors(N_DIMENSIONS)
    for bad in (np.ones(3), np.full(N_DIMENSIONS, np.nan), np.zeros(N_DIMENSIONS)):
        with pytest.raises(InputError, match="an embedding"):
            vectors.near(b"partition", bad, 1)
    with pytest.raises(InputError, match="`k`"):
        vectors.near(b"partition", np.ones(N_DIMENSIONS), 0)
    with pytest.raises(InputError, match="n_dimensions"):
        tier.vectors(0)
    with pytest.raises(InputError, match="PostgreSQL"):
        SqlTier.open(f"sqlite:///{tmp_path}/c.db").vectors(N_DIMENSIONS)
