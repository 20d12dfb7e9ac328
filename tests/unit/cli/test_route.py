import pytest

from beast_ml.cli.known_prices import price_text
from beast_ml.cli.route import print_decision
from beast_ml.domain import Price, RoutingDecision


@pytest.mark.parametrize(("kind", "said"), [("[b]law[/b]", "kind of request: [b]law[/b]"), (None, None)])
def test_the_kind_is_printed_where_it_is_known(capsys, kind, said):
    print_decision(RoutingDecision("small", 1.0, ("large",), "digest", request_kind=kind))
    shown = capsys.readouterr().out
    assert "fallbacks: large" in shown
    assert (said in shown) if said else ("kind of request" not in shown)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(0.5, 1.5), "USD 0.5 / 1.5 per million tokens"),
        (Price(0.0, 0.0), "USD 0 / 0 per million tokens"),
        (Price(1.0, 2.0, usd_per_request=0.01), "USD 1 / 2 per million tokens + 0.01 a request"),
        (Price.of_machine(3.6, concurrency=10), "USD 0.36 an hour of a request"),
    ],
)
def test_a_price_is_told_in_words(price, text):
    assert price_text(price) == text
