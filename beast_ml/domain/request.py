"""A request as the router sees it before any model has answered."""

from __future__ import annotations

import msgspec

__all__ = ["RoutingRequest"]


class RoutingRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request to be routed.

    Parameters
    ----------
    prompt
        The text that will be sent to the chosen model.
    context
        Free key-value pairs; ``task``, ``language``, ``file_type``, ``turns`` and ``surface`` are known keys.
    tenant
        Whose request it is.
    candidates
        Restrict the choice to these models; None means the whole pool.
    min_quality, max_cost_usd, max_latency_s
        Constraints of this request; they tighten the policy's own.
    """

    prompt: str
    context: dict[str, str] = {}
    tenant: str = "default"
    candidates: tuple[str, ...] | None = None
    min_quality: float | None = None
    max_cost_usd: float | None = None
    max_latency_s: float | None = None
