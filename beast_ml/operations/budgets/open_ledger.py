"""Which ledger a deployment has."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from beast_ml.errors import InputError
from beast_ml.operations.budgets.ledger import Ledger

__all__ = ["BudgetHome", "ledger_name", "open_ledger"]

_VALKEY: Final = ("redis://", "rediss://")
_NEAR: Final = (None, "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class BudgetHome:
    """Where the budgets of several regions are at home.

    Parameters
    ----------
    url
        Of the Valkey there, which may hold a password. A step on it is one round trip, and holds up nobody meanwhile.
    is_here
        Whether this deployment stands in that region.
    life_s
        Seconds without an answer of it after which another region spends no more.

    Raises
    ------
    InputError
        If it is no address of a Valkey.
    """

    url: str = field(repr=False)
    is_here: bool
    life_s: float = 3600.0

    def __post_init__(self) -> None:
        if not self.url.startswith(_VALKEY):
            raise InputError("`home_redis_url` is no address of a Valkey or Redis, must be like redis://host:port")


def open_ledger(database_url: str | None, redis_url: str | None, state: Path, home: BudgetHome | None = None) -> Ledger:
    """Return the ledger in PostgreSQL; without an address of one, in Valkey; without either, in ``state/state.db``.

    Nothing is connected to yet. PostgreSQL comes first because money should outlive a restart: a Valkey that keeps
    nothing on disk forgets it.

    Parameters
    ----------
    database_url, redis_url, state
        Of this deployment.
    home
        Where the budgets of several regions are at home: there that Valkey is the ledger. Every other region has a
        `RegionLedger` of its own, in PostgreSQL or in ``state/state.db``.

    Raises
    ------
    InputError
        If an address is malformed.
    MissingExtraError
        If the driver is not installed.
    """
    if home is not None or (database_url is None and redis_url is not None):
        from beast_ml.operations.budgets.valkey_ledger import ValkeyLedger

        valkey = ValkeyLedger.open(redis_url or "" if home is None else home.url)
        if home is None or home.is_here:
            return valkey
        from beast_ml.operations.budgets.region_ledger import RegionLedger

        return RegionLedger.open_at(_sql_url(database_url, state), valkey)
    from beast_ml.operations.budgets.sql_ledger import SqlLedger

    return SqlLedger.open(_sql_url(database_url, state))


def _sql_url(database_url: str | None, state: Path) -> str:
    if database_url is not None:
        return database_url
    state.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{state / 'state.db'}"


def ledger_name(
    database_url: str | None,
    redis_url: str | None,
    state: Path,
    home: BudgetHome | None = None,
    host: str | None = None,
) -> str:
    """Return a name that is the same on two hosts when what `open_ledger` gives them keeps to the same limits.

    Those are the home's, where there is one: a region's own ledger lends what the home has lent it. The name goes by
    the address: two addresses of one database have two names. Of the address it tells no more than the kind.

    Parameters
    ----------
    database_url, redis_url, state, home
        As of `open_ledger`.
    host
        Name of this machine, where "localhost" and its files are; None: ask it.

    Examples
    --------
    >>> one, two = (ledger_name("postgresql://me:secret@db/beast", None, Path("/s"), host=host) for host in "ab")
    >>> one == two, one.partition(":")[0]
    (True, 'postgresql')
    >>> one, two = (ledger_name(None, None, Path("/state"), host=host) for host in "ab")
    >>> one == two
    False
    """
    own = socket.gethostname() if host is None else host
    if home is not None:
        database_url, redis_url = None, home.url
    parts = urlsplit(database_url or redis_url or f"sqlite:///{state.resolve() / 'state.db'}")
    kind, address = parts.scheme.partition("+")[0], parts.netloc.rpartition("@")[2]
    if kind == "sqlite":
        place = f"{own} {Path(parts.path.removeprefix('/')).resolve()}"
    elif parts.hostname in _NEAR:
        place = f"{own} {address}{parts.path}?{parts.query}"
    else:
        place = f"{address}{parts.path}"
    return f"{kind}:{blake2b(place.encode(), digest_size=6).hexdigest()}"
