"""What hosts tell each other of endpoints that are out, so that each need not find out by failures of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

from beast_ml.databases import valkey_client
from beast_ml.events import events
from beast_ml.operations.health.fleet import FleetHealth

__all__ = ["BreakerHints"]

_KEY: Final = "beast:breaker-hint:"
_TOKEN_BYTES: Final = 16
_LOOK_S: Final = 0.5
_AWAY_S: Final = 5.0
_LIFE_MS: Final = 5_000
_TIMEOUT_S: Final = 1.0


class BreakerHints:
    """One worker's end of it: short-lived keys in a Valkey that all hosts share, looked at twice a second.

    A hint is weak evidence. Who reads one probes the endpoint at once, and the first probe that fails opens its breaker
    where two were needed; who has answered calls of its own goes by those. While Valkey is away nothing is
    told and nothing heard.

    Parameters
    ----------
    fleet
        Says what is out here, and hears what is out elsewhere.
    ask
        Probes an endpoint, by name, without waiting for its turn.
    client
        A `redis.Redis` that decodes nothing.
    """

    def __init__(self, fleet: FleetHealth, ask: Callable[[str], None], client: Any) -> None:
        self._fleet, self._ask, self._client = fleet, ask, client
        self._names = [endpoint.name for endpoint in fleet.endpoints]
        self._were_out: set[str] = set()
        self._seen: dict[str, bytes] = {}

    @classmethod
    def open(cls, url: str, fleet: FleetHealth, ask: Callable[[str], None]) -> BreakerHints:
        """Return them over the server at ``redis://host:port``; it is connected to at the first look.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        timeouts = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        return cls(fleet, ask, valkey_client(url, "hints of hosts", **timeouts))

    async def run(self) -> None:
        """Tell and listen until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S if await self.look() else _AWAY_S)

    async def look(self) -> bool:
        """Tell what went out since the last look, and hear what others told; return whether the server answered."""
        out = {name for name in self._names if self._is_out(name)}
        told = {name: secrets.token_bytes(_TOKEN_BYTES) for name in out - self._were_out}
        try:
            found = await asyncio.to_thread(self._exchange, told)
        except Exception as error:  # noqa: BLE001  whatever ails the server, endpoints are judged without it
            events.warning("breaker_hints.away", error=repr(error))
            return False
        self._were_out = out
        self._seen |= told
        for name, token in zip(self._names, found, strict=True):
            if not isinstance(token, bytes) or len(token) != _TOKEN_BYTES or self._seen.get(name) == token:
                continue
            self._seen[name] = token
            if name not in out:
                self._fleet.hinted(name)
                self._ask(name)
        return True

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _is_out(self, name: str) -> bool:
        """Return whether an endpoint is out by what was seen of it; one that asked this host for a rest may be well."""
        return self._fleet.state(name) == "open" and not self._fleet.rests_for_s(name)

    def _exchange(self, told: dict[str, bytes]) -> list[Any]:
        for name, token in told.items():
            self._client.set(_KEY + name, token, px=_LIFE_MS)
        found: list[Any] = self._client.mget([_KEY + name for name in self._names])
        return found
