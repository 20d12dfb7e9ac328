"""Which ledger a deployment has."""

from __future__ import annotations

from pathlib import Path

from beast_ml.operations.budgets.ledger import Ledger

__all__ = ["open_ledger"]


def open_ledger(database_url: str | None, redis_url: str | None, state: Path) -> Ledger:
    """Return the ledger in PostgreSQL; without an address of one, in Valkey; without either, in ``state/state.db``.

    Nothing is connected to yet. PostgreSQL comes first because money should outlive a restart: a Valkey that keeps
    nothing on disk forgets it.

    Raises
    ------
    InputError
        If an address is malformed.
    MissingExtraError
        If the driver is not installed.
    """
    if database_url is None and redis_url is not None:
        from beast_ml.operations.budgets.valkey_ledger import ValkeyLedger

        return ValkeyLedger.open(redis_url)
    from beast_ml.operations.budgets.sql_ledger import SqlLedger

    if database_url is not None:
        return SqlLedger.open(database_url)
    state.mkdir(parents=True, exist_ok=True)
    return SqlLedger.open(f"sqlite:///{state / 'state.db'}")
