"""The prices a deployment states, those it names in the public list among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.domain import Price
    from beast_ml.settings import Settings

__all__ = ["given_price", "known_prices", "price_text"]


def known_prices(settings: Settings) -> dict[str, Price]:
    """Return the price of every candidate of the settings, and say which came from the public list, and its version.

    The bundle keeps them, so serving needs no list.

    Raises
    ------
    UnknownModelError, InputError
        If a ``listed_as`` is not in the public list, or means several prices.
    """
    prices, names = settings.prices(), settings.listed_names()
    if names:
        from beast_ml.logs.public.price_list import PriceList, resolve_prices

        for model, found in resolve_prices(list(names), {}, PriceList(), names).items():
            prices[model] = found.price
            say(f"{model}: {price_text(found.price)}, {found.listed_as} in {found.price.source}")
    return prices


def given_price(text: str) -> tuple[str, Price]:
    """Return the model and the price of an option ``--price MODEL=IN,OUT``, in USD per million tokens.

    Raises
    ------
    InputError
        If it is none.
    """
    from beast_ml.domain import Price

    name, _, amounts = text.rpartition("=")
    parts = amounts.split(",")
    try:
        per_input, per_output = map(float, parts)
    except ValueError:
        name = ""
    if not name:
        raise InputError(f"`--price` == {text!r}, must be MODEL=IN,OUT in USD per million tokens, as gpt-4o=2.5,10")
    return name, Price(per_input, per_output)


def price_text(price: Price) -> str:
    """Return a price in words, USD."""
    parts = {
        f"{price.input_usd_per_mtok:g} / {price.output_usd_per_mtok:g} per million tokens": price.usd_per_s == 0
        or price.input_usd_per_mtok + price.output_usd_per_mtok > 0,
        f"{price.usd_per_request:g} a request": price.usd_per_request > 0,
        f"{3600 * price.usd_per_s:g} an hour of a request": price.usd_per_s > 0,
    }
    return f"USD {' + '.join(text for text, is_charged in parts.items() if is_charged)}"
