from datetime import UTC, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml import domain
from beast_ml.domain import CandidateModel, Objective, Price, RoutingRequest, SystemClock
from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import InputError

NOT_PRICES = [-1e-9, float("nan"), float("inf")]


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_call_costs_its_tokens_times_their_price(per_input, per_output, n_in, n_out):
    price = Price(per_input, per_output)
    assert price.cost_usd(n_in, n_out) * 1e6 == pytest.approx(n_in * per_input + n_out * per_output)


@pytest.mark.parametrize("value", NOT_PRICES)
@pytest.mark.parametrize("name", ["input_usd_per_mtok", "output_usd_per_mtok"])
def test_a_price_is_finite_and_not_negative(name, value):
    with pytest.raises(InputError, match=f"`{name}` == .*finite number >= 0"):
        Price(**{"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0, name: value})


@pytest.mark.parametrize("value", NOT_PRICES)
@pytest.mark.parametrize("name", ["willingness_to_pay", "latency_usd_per_s"])
def test_what_quality_and_time_are_worth_is_finite_and_not_negative(name, value):
    with pytest.raises(InputError, match=f"`{name}` == .*finite number >= 0"):
        Objective(**{"willingness_to_pay": 1.0, name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["min_quality", "max_cost_usd", "max_latency_s"])
def test_a_constraint_is_finite_or_absent(name, value):
    with pytest.raises(InputError, match=f"`{name}` == .*None for no such constraint"):
        Objective(willingness_to_pay=1.0, **{name: value})


@pytest.mark.parametrize(
    "value",
    [
        CandidateModel("m", Price(0.5, 1.5)),
        CandidateModel("m"),
        Objective(0.25, min_quality=0.5, max_cost_usd=0.01, max_latency_s=3.0),
        RoutingRequest("hello", {"task": "chat"}, "acme", ("a", "b"), 0.5, 0.1, 2.0),
    ],
)
def test_values_survive_json_and_refuse_unknown_fields(value):
    encoded = msgspec.json.encode(value)
    assert msgspec.json.decode(encoded, type=type(value)) == value
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(encoded[:-1] + b',"surprise":1}', type=type(value))


def test_a_bad_price_in_a_file_is_a_validation_error():
    with pytest.raises(msgspec.ValidationError, match="finite number >= 0"):
        msgspec.json.decode(b'{"input_usd_per_mtok":-1,"output_usd_per_mtok":1}', type=Price)


@pytest.mark.parametrize("name", domain.__all__)
def test_values_are_frozen_and_exported(name):
    kind = getattr(domain, name)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        assert kind.__struct_config__.frozen
    else:
        assert name in ("Clock", "SystemClock")


def test_the_system_clock_is_aware_and_in_utc():
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert now.tzinfo is UTC


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a/v1", "must start with http"),
        ("https://me:word@a/v1", "holds a user or password, which logs would show"),
        ("https://a/v1?api-version=2", "has a query or a fragment"),
        ("https://a/v1#top", "has a query or a fragment"),
    ],
)
def test_addresses_of_endpoints(url, said):
    with pytest.raises(InputError, match=said) as caught:
        Endpoint("a-1", "a", url)
    assert "word@" not in str(caught.value)
