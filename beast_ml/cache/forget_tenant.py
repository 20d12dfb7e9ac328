"""A tenant's entries out of the last tier of the cache, with every byte of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from beast_ml.cache.tiers.sql_engine import open_engine
from beast_ml.cache.tiers.sql_tables import ENTRIES, TENANTS
from beast_ml.errors import UnavailableError

__all__ = ["ForgottenEntries", "count_entries", "forget_entries"]

_TRIES: Final = 20


@dataclass(frozen=True)
class ForgottenEntries:
    """What became of a tenant's entries.

    Parameters
    ----------
    n_entries
        That were deleted.
    is_erased
        Whether nothing of them is left in the file; PostgreSQL frees what was deleted by itself, in its own time.
    """

    n_entries: int
    is_erased: bool


def count_entries(url: str, tenant: str, before: datetime) -> int:
    """Return how many entries a tenant has that were made before a time."""
    engine = open_engine(url)
    try:
        if not sa.inspect(engine).has_table(ENTRIES.name):
            return 0
        with engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(ENTRIES).where(_meant(tenant, before))
            return int(connection.execute(query).scalar_one())
    except sa.exc.SQLAlchemyError as error:
        raise _unavailable(engine, error) from error
    finally:
        engine.dispose()


def forget_entries(url: str, tenant: str, before: datetime) -> ForgottenEntries:
    """Delete a tenant's entries that were made before a time; in a SQLite file overwrite what is free, too.

    Parameters
    ----------
    url
        Of the tier, ``sqlite:///path`` or ``postgresql://...``.
    tenant
        Whose.
    before
        Made before.

    Raises
    ------
    UnavailableError
        If the database does not answer.
    """
    engine = open_engine(url)
    try:
        if not sa.inspect(engine).has_table(ENTRIES.name):
            return ForgottenEntries(0, is_erased=True)
        with engine.connect().execution_options(beast_writes=True) as connection, connection.begin():
            n = connection.execute(ENTRIES.delete().where(_meant(tenant, before))).rowcount
            left = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(ENTRIES.c.size), 0)).where(
                ENTRIES.c.tenant == tenant
            )
            entries, size = connection.execute(left).one()
            booked = TENANTS.update().where(TENANTS.c.tenant == tenant).values(entries=entries, bytes=size)
            connection.execute(booked)
        return ForgottenEntries(n, is_erased=engine.dialect.name != "sqlite" or _erase(engine))
    except sa.exc.SQLAlchemyError as error:
        raise _unavailable(engine, error) from error
    finally:
        engine.dispose()


def _meant(tenant: str, before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(ENTRIES.c.tenant == tenant, ENTRIES.c.created_at < before.timestamp())


def _erase(engine: sa.Engine) -> bool:
    """Write a SQLite file anew, and empty its journal; False where somebody has read from it all the time."""
    with engine.connect() as connection:
        for _ in range(_TRIES):
            try:
                connection.exec_driver_sql("VACUUM")
                if not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                    return True
            except sa.exc.OperationalError:  # locked
                pass
            time.sleep(0.25)
    return False


def _unavailable(engine: sa.Engine, error: sa.exc.SQLAlchemyError) -> UnavailableError:
    where = engine.url.render_as_string(hide_password=True)
    return UnavailableError(f"the cache's database, {where}, does not answer: {str(error).splitlines()[0]}")
