"""What a deployment wants from its router."""

from __future__ import annotations

from math import isfinite

import msgspec

from beast_ml.errors import InputError

__all__ = ["Objective"]


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Utility = quality x willingness to pay - cost - latency x its price.

    Parameters
    ----------
    willingness_to_pay
        USD (or the unit of cost) for one unit of quality, i.e. for turning a useless answer into a perfect one.
    latency_usd_per_s
        What a second of waiting is worth, in the unit of cost.
    min_quality
        Floor on the predicted quality, 0..1.
    max_cost_usd
        Ceiling on the predicted cost of one request.
    max_latency_s
        Ceiling on the predicted latency of one request.

    Raises
    ------
    InputError
        If a price is negative or not finite, or a constraint is not finite.
    """

    willingness_to_pay: float
    latency_usd_per_s: float = 0.0
    min_quality: float | None = None
    max_cost_usd: float | None = None
    max_latency_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("willingness_to_pay", "latency_usd_per_s"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise InputError(f"`{name}` == {value}, must be a finite number >= 0")
        for name in ("min_quality", "max_cost_usd", "max_latency_s"):
            value = getattr(self, name)
            if value is not None and not isfinite(value):
                raise InputError(f"`{name}` == {value}, must be finite, or None for no such constraint")
