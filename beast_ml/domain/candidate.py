"""Candidate models and what they charge."""

from __future__ import annotations

from typing import Final

import msgspec

from beast_ml.errors import InputError

__all__ = ["CandidateModel", "Price"]

_AMOUNTS: Final = ("input_usd_per_mtok", "output_usd_per_mtok", "usd_per_request", "usd_per_s")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a call costs: so much a token, a request and, for a machine paid by the hour, a second.

    Parameters
    ----------
    input_usd_per_mtok, output_usd_per_mtok
        USD per million tokens.
    usd_per_request
        USD for every call, however short.
    usd_per_s
        USD per second of a call's latency.
    source
        Who says so: ``given`` by whoever runs the router, ``recovered from recorded costs``, or a public list with its
        version, such as ``genai-prices 0.0.40``.

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
    usd_per_request: float = 0.0
    usd_per_s: float = 0.0
    source: str = "given"

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InputError(f"`{name}` == {value}, must be a finite number >= 0")

    @classmethod
    def of_machine(
        cls,
        usd_per_hour: float,
        *,
        output_tokens_per_s: float | None = None,
        input_tokens_per_s: float | None = None,
        concurrency: float | None = None,
    ) -> Price:
        """Return the price of a self-hosted model from what its machine costs an hour.

        Give what the machine yields when it is as busy as you run it: its throughput in tokens, which makes a price
        per token, or the number of requests it works on at a time, which makes a price per second of latency.

        Parameters
        ----------
        usd_per_hour
            Of the whole machine.
        output_tokens_per_s, input_tokens_per_s
            Tokens generated, and tokens read, a second over all requests; a prompt is free where only the former is
            given.
        concurrency
            Mean number of requests in flight.

        Raises
        ------
        InputError
            If not exactly one of throughput and concurrency is given, or a number is not positive.

        Examples
        --------
        >>> Price.of_machine(3.6, output_tokens_per_s=1000).output_usd_per_mtok
        1.0
        >>> Price.of_machine(3.6, concurrency=10).cost_usd(500, 100, latency_s=2.0)
        0.0002
        """
        if (output_tokens_per_s is None) == (concurrency is None):
            raise InputError(
                "a machine needs either its `output_tokens_per_s` or its `concurrency` beside usd_per_hour"
            )
        if concurrency is not None and input_tokens_per_s is not None:
            raise InputError("`input_tokens_per_s` goes with `output_tokens_per_s`, not with `concurrency`")
        given = {
            "output_tokens_per_s": output_tokens_per_s,
            "input_tokens_per_s": input_tokens_per_s,
            "concurrency": concurrency,
        }
        for name, value in given.items():
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"`{name}` == {value}, must be a finite number > 0")
        usd_per_s = usd_per_hour / 3600
        if concurrency is not None:
            return cls(0.0, 0.0, usd_per_s=usd_per_s / concurrency)
        per_input = usd_per_s / input_tokens_per_s * 1e6 if input_tokens_per_s else 0.0
        return cls(per_input, usd_per_s / (output_tokens_per_s or 1.0) * 1e6)

    def cost_usd(self, input_tokens: float, output_tokens: float, latency_s: float = 0.0) -> float:
        """Return the price of one call, in USD."""
        tokens = (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6
        return tokens + self.usd_per_request + latency_s * self.usd_per_s


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
