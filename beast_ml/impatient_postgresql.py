"""Connections to PostgreSQL that do not wait for ever for a server that has fallen silent.

``statement_timeout`` is kept by the server: one that hangs, or that no network reaches any more, keeps nothing. The
driver then waits as long as TCP does, a quarter of an hour, or for ever where the other end still acknowledges.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

__all__ = ["connection_class"]


def connection_class(silent_s: float) -> type[psycopg.Connection[Any]]:
    """Return a class of connections that are closed, with an error, when nothing comes for so many seconds."""

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Any, *more: Any, **named: Any) -> Any:
            try:
                return super().wait(_answered(gen, silent_s), *more, **named)
            except _SilentError:
                self.close()  # whoever pools it sees that, and makes another
                raise

    return Impatient


class _SilentError(psycopg.OperationalError):
    """Nothing came for too long."""


def _answered(gen: Generator[Any, Any, Any], silent_s: float) -> Generator[Any, Any, Any]:
    """Pass on what the driver waits for, unless it has waited for too long."""
    heard_at = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                heard_at = now
            elif now - heard_at > silent_s:
                raise _SilentError(f"the server has not answered for {silent_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value
