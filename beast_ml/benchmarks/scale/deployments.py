"""How a server is deployed while it is measured: alone, with Valkey, or with Valkey and PostgreSQL."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from beast_ml.benchmarks.serving.hit_part import CACHE
from beast_ml.benchmarks.serving.shared_services import PostgresServer, ValkeyServer

__all__ = ["DEPLOYMENTS", "Services", "cache_environment", "connected", "deployed"]

DEPLOYMENTS: Final[Mapping[str, str]] = {
    "alone": "its state folder, no budgets",
    "shared": "keys, budgets and the cache's last tier in PostgreSQL; a tier of the cache in Valkey",
    "valkey": "budgets and a tier of the cache in Valkey, the rest in its state folder",
}
"""Names -> what they have."""

_BUDGETS: Final = json.dumps(
    [
        {"scope": "global", "period": "month", "limit_usd": 5_000_000},
        {"scope": "tenant", "key": "*", "period": "month", "limit_usd": 1_000_000},
    ]
)


@dataclass(frozen=True)
class Services:
    """What a deployment shares.

    Parameters
    ----------
    environment
        That names it to a server.
    valkey, postgres
        None where it has none.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    valkey: ValkeyServer | None = None
    postgres: PostgresServer | None = None


def cache_environment(trained: Path | None = None) -> dict[str, str]:
    """Return what switches the cache on; with a folder of `beast cache build`, for alike requests, too."""
    if trained is None:
        return dict(CACHE)
    return {**CACHE, "BEAST_CACHE__SEMANTIC": "true", "BEAST_CACHE__TRAINED": str(trained.absolute())}


@contextmanager
def deployed(name: str, folder: Path) -> Iterator[Services]:
    """Run what a deployment shares; it ends with it.

    Valkey syncs its file every second, PostgreSQL counts statements.

    Raises
    ------
    MissingExtraError
        If Valkey or PostgreSQL is not there.
    UnavailableError
        If one does not start.
    """
    common = {"BEAST_SERVING__COMPACT_S": "0", "BEAST_ADMIN_KEY": secrets.token_hex(32)}
    if name == "alone":
        yield Services(common)
        return
    with ExitStack() as stack:
        common |= {"BEAST_BUDGETS": _BUDGETS, "BEAST_SECRET": secrets.token_hex(32)}
        valkey = ValkeyServer(folder / "valkey", fsync="everysec")
        stack.callback(valkey.kill)
        valkey.start()
        common["BEAST_REDIS_URL"] = valkey.url
        if name == "valkey":
            yield Services(common, valkey)
            return
        postgres = PostgresServer()
        stack.callback(postgres.close)
        postgres.start()
        _count_statements(postgres)
        common["BEAST_DATABASE_URL"] = postgres.url
        yield Services(common, valkey, postgres)


def _count_statements(postgres: PostgresServer) -> None:
    with connected(postgres) as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    postgres.kill()
    postgres.start()
    with connected(postgres) as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


@contextmanager
def connected(postgres: PostgresServer) -> Iterator[Any]:
    """Return a connection on which every statement stands for itself."""
    from sqlalchemy.pool import NullPool

    from beast_ml.databases import database_address, postgresql_engine

    engine = postgresql_engine(
        database_address(postgres.url), "The benchmark", poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
