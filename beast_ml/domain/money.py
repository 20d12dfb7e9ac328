"""Money in budgets: integer nano-dollars, so that sums are exact."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from math import isfinite
from typing import Final

from beast_ml.errors import InputError

__all__ = ["NANO_PER_USD", "nano_usd", "usd"]

NANO_PER_USD: Final = 1_000_000_000
"""Nano-dollars of a dollar."""

_EXACT_TO: Final = 2**62


def nano_usd(amount_usd: float | Decimal) -> int:
    """Return an amount in nano-dollars, rounded up: what is spent is never understated.

    Raises
    ------
    InputError
        If it is negative, not finite, or beyond what 64-bit ledgers hold.

    Examples
    --------
    >>> nano_usd(0.25), nano_usd(1e-10)
    (250000000, 1)
    """
    if not isfinite(amount_usd) or amount_usd < 0:
        raise InputError(f"{amount_usd} USD is no amount of money, must be a finite number >= 0")
    # By way of the shortest decimal that is the float: 0.1 is 100,000,000 nano-dollars, not one more.
    nano = int(
        (Decimal(repr(amount_usd)) if isinstance(amount_usd, float) else Decimal(amount_usd))
        .scaleb(9)
        .to_integral_value(ROUND_CEILING)
    )
    if nano >= _EXACT_TO:
        raise InputError(f"{amount_usd} USD is more than a budget can hold ({_EXACT_TO // NANO_PER_USD:,} USD)")
    return nano


def usd(nano: int) -> float:
    """Return nano-dollars in USD, for showing."""
    return nano / NANO_PER_USD
