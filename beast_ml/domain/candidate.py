"""Candidate models and what they charge."""

from __future__ import annotations

import msgspec

from beast_ml.errors import InputError

__all__ = ["CandidateModel", "Price"]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider charges, in USD per million tokens.

    Raises
    ------
    InputError
        If a price is negative, infinite or NaN.

    Examples
    --------
    >>> Price(input_usd_per_mtok=0.5, output_usd_per_mtok=1.5).cost_usd(1000, 200)
    0.0008
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InputError(f"`{name}` == {value}, must be a finite number >= 0")

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of one call, in USD."""
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


class CandidateModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model the router may choose, by the name the logs use.

    Parameters
    ----------
    name
        The model's name as it stands in logs and requests.
    price
        Its token prices where known; without them its cost is predicted in dollars directly.
    """

    name: str
    price: Price | None = None
