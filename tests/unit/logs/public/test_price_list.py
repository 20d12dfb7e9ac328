from datetime import UTC, datetime

import pytest

from beast_ml.domain import Price
from beast_ml.errors import InputError, UnknownModelError
from beast_ml.logs.public.price_list import PriceList, ResolvedPrice, resolve_prices


@pytest.fixture(scope="module")
def listed():
    return PriceList(datetime(2026, 11, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "OpenAI/GPT-4o"])
def test_a_model_is_found_with_and_without_its_provider(listed, name):
    found = listed.find(name)
    assert found.listed_as == "openai/gpt-4o"
    assert 0 < found.price.input_usd_per_mtok < found.price.output_usd_per_mtok
    assert found.price.source.startswith("genai-prices 0.")


def test_no_network_is_touched(listed, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("the price list went online")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert listed.find("claude-3-haiku-20240307").price.output_usd_per_mtok > 0


@pytest.mark.parametrize("name", ["gpt-nonsense", "openai/nobody", "nobody/gpt-4o"])
def test_an_unknown_name_is_refused_with_what_to_do(listed, name):
    with pytest.raises(UnknownModelError, match=r"no price of .* in genai-prices .*candidates:"):
        listed.find(name)


def test_a_name_with_several_prices_asks_for_the_provider(listed):
    bare = {}
    for provider in listed._providers:
        for model in provider.models:
            bare.setdefault(model.id, set()).add(provider.id)
    shared = [name for name, providers in sorted(bare.items()) if len(providers) > 2]
    messages = []
    for name in shared:
        try:
            listed.find(name)
        except InputError as error:
            messages.append(str(error))
    assert any("several prices" in message and "say which provider" in message for message in messages)


def test_the_deployment_s_own_price_wins_and_strangers_are_left_to_the_logs(listed):
    own = {"gpt-4o": Price(1.0, 2.0)}
    found = resolve_prices(["gpt-4o", "gpt-4o-mini", "my-finetune", "alias"], own, listed, {"alias": "openai/gpt-4o"})
    assert found["gpt-4o"] == ResolvedPrice(Price(1.0, 2.0))
    assert found["gpt-4o-mini"].listed_as == "openai/gpt-4o-mini"
    assert found["alias"].listed_as == "openai/gpt-4o"
    assert "my-finetune" not in found
    assert set(resolve_prices(["gpt-4o", "gpt-4o-mini"], own, None)) == {"gpt-4o"}


def test_a_public_name_that_was_given_must_be_found(listed):
    with pytest.raises(UnknownModelError):
        resolve_prices(["mine"], {}, listed, {"mine": "openai/nobody"})
