"""What a gateway is made of."""

from __future__ import annotations

from dataclasses import dataclass

from beast_ml.serving.gateway.contract import Fleet, Journal, Ledger, Planner, Retries
from beast_ml.serving.gateway.provider import Providers

__all__ = ["GatewayParts", "Patience"]


@dataclass(frozen=True)
class Patience:
    """How long a request is tried for.

    Parameters
    ----------
    deadline_s
        Seconds to the first token, or to the whole answer where nothing is streamed, over all attempts.
    max_attempts
        Most calls of providers.
    """

    deadline_s: float = 120.0
    max_attempts: int = 4


@dataclass(frozen=True)
class GatewayParts:
    """One worker's parts, as far as the gateway needs them; ``ledger`` is None where there are no budgets.

    Parameters
    ----------
    planner
        Decides who is called.
    journal
        Logs what became of it.
    fleet
        Which endpoints may be called.
    providers
        Call them.
    retries
        How often, and after how long.
    patience
        How long a call may take.
    """

    planner: Planner
    journal: Journal
    fleet: Fleet
    providers: Providers
    retries: Retries
    ledger: Ledger | None = None
    patience: Patience = Patience()
