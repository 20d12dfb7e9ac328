"""Which store of invalidations a deployment has."""

from __future__ import annotations

from pathlib import Path

from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.sql_store import SqlInvalidations

__all__ = ["open_invalidator"]


def open_invalidator(
    database_url: str | None,
    redis_url: str | None,
    state: Path,
    poll_s: float = 0.5,
    max_silence_s: float = 300.0,
    *,
    home_url: str | None = None,
) -> Invalidator:
    """Return the invalidator of a process; nothing is connected to yet, `Invalidator.start` does.

    The truth is in PostgreSQL; without an address of one, in Valkey, which hosts may share, with a copy in
    ``state/state.db`` on each; without either, in that file, for the workers of one host. Regions that give each other
    their answers have one truth in the Valkey of the home region, ``home_url``, and such a copy, whatever else they
    have: an answer is then as valid in one as in another.

    Raises
    ------
    InputError
        If an address is malformed.
    MissingExtraError
        If a driver is not installed.
    """
    if database_url is not None and home_url is None:
        return Invalidator(SqlInvalidations.open(database_url), poll_s=poll_s, max_silence_s=max_silence_s)
    state.mkdir(parents=True, exist_ok=True)
    here = SqlInvalidations.open(f"sqlite:///{state / 'state.db'}")
    url = redis_url if home_url is None else home_url
    if url is None:
        return Invalidator(here, poll_s=poll_s, max_silence_s=max_silence_s)
    from beast_ml.cache.invalidation.valkey_store import ValkeyInvalidations

    shared = ValkeyInvalidations.open(url)
    return Invalidator(shared, copy=here, poll_s=poll_s, max_silence_s=max_silence_s)
