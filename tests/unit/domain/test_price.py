import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain import Price
from beast_ml.errors import InputError

amounts = st.floats(0, 1e6)
prices = st.builds(Price, *[st.floats(0, 100)] * 4)


@given(prices, amounts, amounts, amounts, amounts)
def test_cost_is_not_negative_and_grows_with_usage(price, n_in, n_out, seconds, more):
    cost = price.cost_usd(n_in, n_out, seconds)
    assert cost >= 0
    assert price.cost_usd(n_in + more, n_out, seconds) >= cost
    assert price.cost_usd(n_in, n_out + more, seconds) >= cost
    assert price.cost_usd(n_in, n_out, seconds + more) >= cost


@given(prices, amounts, amounts, amounts)
def test_cost_is_linear_in_usage_above_the_price_of_a_request(price, n_in, n_out, seconds):
    once = price.cost_usd(n_in, n_out, seconds) - price.usd_per_request
    twice = price.cost_usd(2 * n_in, 2 * n_out, 2 * seconds) - price.usd_per_request
    assert twice == pytest.approx(2 * once, rel=1e-9, abs=1e-9)


def test_a_machine_priced_by_throughput_costs_its_hour_when_busy():
    price = Price.of_machine(7.2, output_tokens_per_s=500, input_tokens_per_s=5000)
    assert price.cost_usd(0, 500 * 3600) == pytest.approx(7.2)
    assert price.cost_usd(5000 * 3600, 0) == pytest.approx(7.2)


def test_a_machine_priced_by_concurrency_costs_its_hour_when_busy():
    price = Price.of_machine(7.2, concurrency=4)
    assert 4 * price.cost_usd(10, 10, latency_s=3600) == pytest.approx(7.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either its `output_tokens_per_s` or its `concurrency`"),
        ({"output_tokens_per_s": 1, "concurrency": 1}, "either its `output_tokens_per_s` or its `concurrency`"),
        ({"concurrency": 1, "input_tokens_per_s": 1}, "not with `concurrency`"),
        ({"concurrency": 0}, "`concurrency` == 0, must be a finite number > 0"),
        ({"output_tokens_per_s": float("inf")}, "must be a finite number > 0"),
    ],
)
def test_a_machine_that_cannot_be_priced_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Price.of_machine(1.0, **arguments)
