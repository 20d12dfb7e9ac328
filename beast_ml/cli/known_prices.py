"""The prices a deployment states, those it names in the public list among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beast_ml.cli.output import say

if TYPE_CHECKING:
    from beast_ml.domain import Price
    from beast_ml.settings import Settings

__all__ = ["known_prices"]


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
            say(
                f"{model}: {found.price.input_usd_per_mtok:g} / {found.price.output_usd_per_mtok:g} USD per million "
                f"tokens, {found.listed_as} in {found.price_version}"
            )
    return prices
