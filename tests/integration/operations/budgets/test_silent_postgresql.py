"""A PostgreSQL that is there and says nothing: nobody waits for it for ever."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from beast_ml.benchmarks.chaos.tcp_proxy import TcpProxy
from beast_ml.databases import database_address, postgresql_engine


@pytest.fixture
def network(postgres_url):
    with TcpProxy(unix_socket(postgres_url)) as proxy:
        yield proxy


def unix_socket(url):
    address = sa.make_url(url)
    return Path(address.query["host"]) / f".s.PGSQL.{address.port or 5432}"


def through(network, url, silent_s):
    address = database_address(url)
    bare = address.update_query_dict({}).difference_update_query(["host"])
    return postgresql_engine(bare.set(host="127.0.0.1", port=network.port), "A test", silent_s=silent_s, pool_size=1)


def seven(engine):
    with engine.connect() as connection:
        return connection.scalar(sa.text("SELECT 7"))


def test_a_statement_that_is_not_answered_fails_and_the_next_connection_is_a_new_one(network, postgres_url):
    engine = through(network, postgres_url, silent_s=0.5)
    assert seven(engine) == 7
    network.set("stalled")
    with pytest.raises(sa.exc.OperationalError, match=r"has not answered for 0\.5 s"):
        seven(engine)
    network.set("up")
    assert seven(engine) == 7
    engine.dispose()


def test_a_server_that_takes_its_time_but_less_than_that_is_waited_for(network, postgres_url):
    engine = through(network, postgres_url, silent_s=10.0)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n"))
    network.set("slow", 0.05)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT sum(n) FROM t, pg_sleep(0.3)")) == 500_500
    engine.dispose()
