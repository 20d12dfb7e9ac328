import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain import Price
from beast_ml.domain.endpoint import ModelLimits
from beast_ml.domain.money import nano_usd
from beast_ml.serving.gateway.accounting import (
    Usage,
    cost_usd,
    estimated_usage,
    expected_output_tokens,
    most_output_tokens,
    upper_nano,
)
from beast_ml.serving.gateway.chat_request import decode_chat
from beast_ml.serving.gateway.contract import AttemptRecord, CallRecord, Plan


def asking(text="hello", **more):
    return decode_chat(msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": text}], **more}))


amounts = st.floats(0, 1000)


@given(
    st.text(max_size=200),
    st.integers(1, 10_000),
    st.integers(1, 8),
    st.builds(Price, amounts, amounts, st.floats(0, 1), st.floats(0, 1)),
    st.data(),
)
def test_no_answer_costs_more_than_was_reserved(text, max_output, n, price, data):
    chat = asking(text, n=n)
    n_input = data.draw(st.integers(0, len(text.encode()) + 64))  # no tokeniser makes more of it
    n_output = data.draw(st.integers(0, max_output * n))
    latency_s = data.draw(st.floats(0, 60))
    spent = nano_usd(cost_usd(price, Usage(n_input, n_output), latency_s))
    assert spent <= upper_nano(price, chat, max_output, 60.0)


def test_the_most_tokens_are_the_clients_the_models_or_ours():
    assert most_output_tokens(asking(max_tokens=10), ModelLimits(max_output_tokens=100)) == 10
    assert most_output_tokens(asking(max_tokens=1000), ModelLimits(max_output_tokens=100)) == 100
    assert most_output_tokens(asking(), None) == 4096
    assert 1900 < most_output_tokens(asking(), ModelLimits(context_tokens=2000)) < 2000
    assert most_output_tokens(asking("long " * 5000), ModelLimits(context_tokens=2000)) == 1


def test_what_nobody_counted_is_estimated():
    assert estimated_usage(asking("a" * 400), 80).completion_tokens == 20
    assert estimated_usage(asking(), 0).completion_tokens == 0
    assert estimated_usage(asking(), 1).completion_tokens == 1


def test_each_picture_is_reserved():
    price = Price(1.0, 1.0)
    picture = {"type": "image_url", "image_url": {"url": "http://host/a.png"}}
    one, three = (upper_nano(price, asking([picture] * n), 1, 60.0) for n in (1, 3))
    assert one > nano_usd(price.cost_usd(50_000, 0, 0.0))
    assert three - one > nano_usd(price.cost_usd(100_000, 0, 0.0))


def test_what_a_provider_says_about_tools_is_reserved():
    price = Price(1.0, 1.0)
    tool = {"type": "function", "function": {"name": "f"}}
    assert upper_nano(price, asking(tools=[tool]), 1, 60.0) > nano_usd(price.cost_usd(1100, 0, 0.0))


def plan_of(predicted_usd, price, model="big"):
    return Plan(
        request_id="req_1",
        tenant="acme",
        models=("big", "small"),
        predicted_cost_usd=predicted_usd,
        prices={model: price},
    )


def record_of(*models, n_input=100):
    attempts = tuple(AttemptRecord(model, f"{model}-1", "cancelled") for model in models)
    return CallRecord(status="cancelled", attempts=attempts, input_tokens=n_input)


@given(
    st.integers(0, 10_000),
    st.integers(1, 10_000),
    st.builds(Price, st.floats(0, 100), st.floats(0.01, 100), st.floats(0, 0.1)),
)
def test_the_expected_tokens_are_those_that_cost_what_was_predicted(n_input, n_output, price):
    plan = plan_of(price.cost_usd(n_input, n_output, 3.0), price)
    assert expected_output_tokens(plan, record_of("big", n_input=n_input)) == pytest.approx(
        n_output, rel=1e-3, abs=0.01
    )


def test_nobody_knows_the_expected_tokens_where_the_prediction_is_not_of_the_answer():
    price, timed = Price(10.0, 30.0), Price(10.0, 30.0, 0.0, 0.001)
    assert expected_output_tokens(plan_of(0.004, price), record_of("big")) == pytest.approx(100)
    assert expected_output_tokens(plan_of(0.004, price), record_of("small", "big")) == pytest.approx(100)
    for plan, record in (
        (plan_of(0.004, price), record_of()),
        (plan_of(0.004, price), record_of("big", "small")),
        (plan_of(0.004, price, "small"), record_of("big")),
        (plan_of(None, price), record_of("big")),
        (plan_of(0.004, price), record_of("big", n_input=None)),
        (plan_of(0.001, price), record_of("big")),  # the input alone costs that
        (plan_of(0.004, Price(10.0, 0.0)), record_of("big")),
        (plan_of(0.004, timed), record_of("big")),
    ):
        assert expected_output_tokens(plan, record) is None
