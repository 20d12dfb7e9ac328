"""Which ledger a deployment has."""

from __future__ import annotations

import socket
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from beast_ml.operations.budgets.ledger import Ledger

__all__ = ["ledger_name", "open_ledger"]

_NEAR: Final = (None, "localhost", "127.0.0.1", "::1")


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


def ledger_name(database_url: str | None, redis_url: str | None, state: Path, host: str | None = None) -> str:
    """Return a name that is the same on two hosts when `open_ledger` gives both the same ledger.

    It goes by the address: two addresses of one database have two names. Of the address it tells no more than the kind.

    Parameters
    ----------
    database_url, redis_url, state
        As of `open_ledger`.
    host
        Name of this machine, where "localhost" and its files are; None: ask it.

    Examples
    --------
    >>> one, two = (ledger_name("postgresql://me:secret@db/beast", None, Path("state"), host) for host in ("a", "b"))
    >>> one == two, one.partition(":")[0]
    (True, 'postgresql')
    >>> one, two = (ledger_name(None, None, Path("/state"), host) for host in ("a", "b"))
    >>> one == two
    False
    """
    own = socket.gethostname() if host is None else host
    parts = urlsplit(database_url or redis_url or f"sqlite:///{state.resolve() / 'state.db'}")
    kind, address = parts.scheme.partition("+")[0], parts.netloc.rpartition("@")[2]
    if kind == "sqlite":
        place = f"{own} {Path(parts.path.removeprefix('/')).resolve()}"
    elif parts.hostname in _NEAR:
        place = f"{own} {address}{parts.path}?{parts.query}"
    else:
        place = f"{address}{parts.path}"
    return f"{kind}:{blake2b(place.encode(), digest_size=6).hexdigest()}"
