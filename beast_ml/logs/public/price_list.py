"""Where a candidate's price comes from: what the deployment says, else the public list, else what the logs tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from beast_ml.domain import Price
from beast_ml.errors import InputError, MissingExtraError, UnknownModelError

__all__ = ["PriceList", "ResolvedPrice", "resolve_prices"]

_MAX_NAMED: Final = 4


class ResolvedPrice(msgspec.Struct, frozen=True):
    """A price, and under which name it was found.

    Parameters
    ----------
    price
        What a call costs, with its source.
    listed_as
        Provider and model of the public list, e.g. ``openai/gpt-4o``; empty for the settings.
    """

    price: Price
    listed_as: str = ""


class PriceList:
    """The prices that ship with the installed ``genai-prices``: read offline, never updated over the network.

    Parameters
    ----------
    at
        When a price must hold, aware; some are announced ahead, some differ by the time of day.

    Raises
    ------
    MissingExtraError
        If the package is not there.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> prices = PriceList(datetime(2026, 11, 1, tzinfo=UTC))
    >>> prices.find("openai/gpt-4o-mini").listed_as
    'openai/gpt-4o-mini'
    """

    def __init__(self, at: datetime | None = None) -> None:
        try:
            import genai_prices
            from genai_prices.data import providers
        except ImportError as error:
            raise MissingExtraError("the public price list", "train") from error
        self._providers: list[Any] = list(providers)
        self._at = at or datetime.now(UTC)
        self.version: str = f"genai-prices {genai_prices.__version__}"

    def find(self, name: str) -> ResolvedPrice:
        """Return the price of a model, named as ``provider/model`` or by itself.

        A bare name is looked up with the provider that made the model, where the list knows one; else with all of
        them, and it must then mean one price.

        Raises
        ------
        UnknownModelError
            If nobody lists it, or not by token.
        InputError
            If several providers list it at different prices.
        """
        from genai_prices.data_snapshot import find_provider_by_id

        lowered = name.lower()
        head, separator, tail = lowered.partition("/")
        provider = find_provider_by_id(self._providers, head) if separator else None
        if provider is not None:
            found = [(provider, tail)]
        else:
            makers = [each for each in self._providers if each.model_match is not None]
            found = [(each, lowered) for each in makers if each.model_match.is_match(lowered)][:1]
        hits = self._listed(found) or ([] if provider else self._listed([(each, lowered) for each in self._providers]))
        if not hits:
            raise UnknownModelError(
                f"no price of {name!r} in {self.version}: write it as provider/model, or give its price under "
                "`candidates:` in mlflow.yaml"
            )
        if len({price for _, price in hits}) > 1:
            named = ", ".join(listed for listed, _ in hits[:_MAX_NAMED])
            raise InputError(f"{name!r} has several prices in {self.version}: say which provider's, e.g. {named}")
        listed_as, price = hits[0]
        return ResolvedPrice(msgspec.structs.replace(price, source=self.version), listed_as)

    def _listed(self, candidates: Sequence[tuple[Any, str]]) -> list[tuple[str, Price]]:
        hits = []
        for provider, name in candidates:
            model = provider.find_model(name, all_providers=self._providers)
            price = None if model is None else _token_price(model.get_prices(self._at))
            if price is not None:
                hits.append((f"{provider.id}/{model.id}", price))
        return hits


def _token_price(listed: Any) -> Price | None:
    """Return the listed price where it is by token; of tiers by length, the one of short requests."""

    def usd(value: Any) -> float:
        return float(value if isinstance(value, Decimal) else value.base)

    if listed.input_mtok is None or listed.output_mtok is None:
        return None
    per_request = 0.0 if listed.requests_kcount is None else usd(listed.requests_kcount) / 1000
    return Price(usd(listed.input_mtok), usd(listed.output_mtok), usd_per_request=per_request)


def resolve_prices(
    models: Sequence[str], own: Mapping[str, Price], listed: PriceList | None, names: Mapping[str, str] | None = None
) -> dict[str, ResolvedPrice]:
    """Return the price of every model that has one: the deployment's own first, then the public list's.

    Parameters
    ----------
    models
        The candidates.
    own
        Prices the deployment gives; they win.
    listed
        The public list; None: not asked.
    names
        What a candidate is called in the public list, where that is another name; such a name must be found.

    Raises
    ------
    UnknownModelError, InputError
        If a name given in ``names`` is not listed, or means several prices.
    """
    resolved = {}
    for model in models:
        if model in own:
            resolved[model] = ResolvedPrice(own[model])
        elif listed is not None and names is not None and model in names:
            resolved[model] = listed.find(names[model])
        elif listed is not None:
            try:
                resolved[model] = listed.find(model)
            except InputError:  # unknown or ambiguous: what the logs tell is as good
                continue
    return resolved
