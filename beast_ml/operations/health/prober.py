"""Asks endpoints whether they are alive when no traffic tells."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ERROR_KINDS, ErrorKind
from beast_ml.errors import InputError, ProviderError
from beast_ml.events import events
from beast_ml.operations.health.fleet import FleetHealth

__all__ = ["Prober"]

_JITTER: Final = 0.1


class Prober:
    """Probes every endpoint that has an address.

    From a death to the mask it takes at most ``1.1 * probe_s + 2 * timeout_s + confirm_s`` (4.2 s by default) where
    the endpoint hangs, and ``1.1 * probe_s + confirm_s`` where it refuses connections. An endpoint that answered a
    call in the last ``probe_s`` is not probed.

    Parameters
    ----------
    fleet
        Learns what is found.
    probe
        Asks one endpoint; returns the seconds it took, or raises ProviderError.
    probe_s
        Seconds between probes of an endpoint that is up.
    open_probe_s
        The same, of one that is not.
    confirm_s
        Seconds until a failed probe is repeated.
    timeout_s
        Of one probe.
    rng
        Spreads the probes of several workers.
    """

    def __init__(
        self,
        fleet: FleetHealth,
        probe: Callable[[Endpoint], Awaitable[float]],
        *,
        probe_s: float = 1.0,
        open_probe_s: float = 0.5,
        confirm_s: float = 0.1,
        timeout_s: float = 1.5,
        rng: random.Random | None = None,
    ) -> None:
        for name, value in (("probe_s", probe_s), ("open_probe_s", open_probe_s), ("timeout_s", timeout_s)):
            if not 0 < value < float("inf"):
                raise InputError(f"`{name}` == {value}, must be a number > 0")
        self._fleet = fleet
        self._probe = probe
        self._probe_s, self._open_probe_s, self._confirm_s = probe_s, open_probe_s, confirm_s
        self._timeout_s = timeout_s
        self._rng = random.Random() if rng is None else rng  # noqa: S311  nothing secret
        self._asked = {endpoint.name: asyncio.Event() for endpoint in fleet.endpoints}

    def ask_now(self, endpoint: str) -> None:
        """Probe an endpoint without waiting for its turn; one that asked to be left alone still is."""
        asked = self._asked.get(endpoint)
        if asked is not None:
            asked.set()

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            for endpoint in self._fleet.endpoints:
                group.create_task(self._watch(endpoint))

    async def _watch(self, endpoint: Endpoint) -> None:
        # The first probe comes at a random moment, so that workers do not ask all at once.
        wait_s = self._probe_s * self._rng.random()
        asked = self._asked[endpoint.name]
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), wait_s)
            was_asked = asked.is_set()
            asked.clear()
            if (wait_s := self._fleet.rests_for_s(endpoint.name)) > 0.0:
                continue
            if (
                not was_asked
                and self._fleet.state(endpoint.name) == "closed"
                and self._fleet.seconds_since_answer(endpoint.name) < self._probe_s
            ):
                wait_s = self._probe_s * self._spread()
                continue
            was_closed = self._fleet.state(endpoint.name) == "closed"
            failed = await self._ask(endpoint)
            closed = self._fleet.state(endpoint.name) == "closed"
            if failed and was_closed and closed:
                wait_s = self._confirm_s
            else:
                wait_s = (self._probe_s if closed else self._open_probe_s) * self._spread()

    async def _ask(self, endpoint: Endpoint) -> bool:
        """Probe once, tell the fleet; return whether it failed."""
        kind: ErrorKind | None = None
        retry_after_s: float | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._probe(endpoint)
        except ProviderError as error:
            kind = next((known for known in ERROR_KINDS if known == error.kind), "provider")
            retry_after_s = error.retry_after_s
        except TimeoutError:
            kind = "timeout"
        except OSError:
            kind = "provider"
        except Exception as error:  # noqa: BLE001  a probe that is wrong itself must not end the watch, nor mask anybody
            events.error("endpoint.probe_broken", endpoint=endpoint.name, error=repr(error))
            return False
        self._fleet.probed(endpoint.name, kind, retry_after_s)
        return kind is not None

    def _spread(self) -> float:
        return 1.0 + _JITTER * (2.0 * self._rng.random() - 1.0)
