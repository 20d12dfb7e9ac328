"""What was deleted after a backup was made, deleted again out of what it brings back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from beast_ml.cache.forget_tenant import forget_entries
from beast_ml.cache.tiers.sql_engine import open_engine
from beast_ml.cache.tiers.sql_tables import ENTRIES
from beast_ml.logs.forget import LogFolders, forget
from beast_ml.logs.forgotten import ForgottenOne

__all__ = ["forget_again", "forget_entries_again"]


def forget_again(folders: LogFolders, state: Path, forgotten: Iterable[ForgottenOne]) -> int:
    """Forget everyone again in a log and in the cache's file; return how many rows and entries went."""
    people = list(forgotten)
    n_gone = 0
    for one in people:
        done = forget(folders, one)
        n_gone += done.n_stored + done.n_in_segments + done.n_quarantined
    if people and (state / "cache.db").is_file():
        n_gone += forget_entries_again(f"sqlite:///{state / 'cache.db'}", people)
    return n_gone


def forget_entries_again(url: str, forgotten: Iterable[ForgottenOne]) -> int:
    """Delete the entries of everyone who was forgotten out of a cache's database; return how many went."""
    engine = open_engine(url)
    try:
        if not sa.inspect(engine).has_table(ENTRIES.name):
            return 0
        with engine.connect() as connection:
            tenants = connection.scalars(sa.select(ENTRIES.c.tenant).distinct()).all()
    finally:
        engine.dispose()
    return sum(
        forget_entries(url, tenant, one.before).n_entries
        for one in forgotten
        for tenant in tenants
        if one.is_tenant(tenant)
    )
