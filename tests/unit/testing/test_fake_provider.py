from __future__ import annotations

import time
from collections.abc import Iterator

import openai
import pytest

from beast_ml.testing.fake_provider import (
    FakeProvider,
    FakeProviderProcess,
    Fault,
    Outage,
    Outcome,
    ProviderScript,
    recorded_outcomes,
)

ASK = [{"role": "user", "content": "What is 2 + 2?"}]
SCRIPT = ProviderScript(
    outcomes={
        "plain": (Outcome(output_tokens=12),),
        "slow": (Outcome(latency_s=0.3, ttft_s=0.05),),
        "turns": tuple(Outcome(text=text) for text in ("one", "two", "three")),
        **{f"fails-{fault}": (Outcome(fault=fault, retry_after_s=7.0),) for fault in ("rate_limit", "drop", "hang")},
    }
)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(SCRIPT) as running:
        yield running


@pytest.fixture
def client(provider: FakeProvider) -> Iterator[openai.OpenAI]:
    provider.heal()
    with openai.OpenAI(api_key="any", base_url=provider.base_url(), max_retries=0, timeout=5) as client:
        yield client


def test_answers_as_openai_does(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="plain", messages=ASK)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens > 0


def test_writes_no_more_tokens_than_it_may(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="plain", messages=ASK, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5


def test_streams_the_same_text_and_the_usage(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="plain", messages=ASK)
    chunks = list(
        client.chat.completions.create(model="plain", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_replays_outcomes_in_turn(client: openai.OpenAI) -> None:
    said = [client.chat.completions.create(model="turns", messages=ASK).choices[0].message.content for _ in range(4)]
    assert sorted(said[:3]) == ["one", "three", "two"]
    assert said[3] == said[0]


def test_the_same_prompt_meets_the_same_outcome() -> None:
    script = ProviderScript(
        outcomes={"m": tuple(Outcome(output_tokens=n) for n in range(1, 50))}, order="by_prompt", seed=3
    )
    first = [script.outcome("m", 0, f"prompt {i}") for i in range(100)]
    assert first == [script.outcome("m", n, f"prompt {n}") for n in range(100)]
    assert len({outcome.output_tokens for outcome in first if outcome}) > 20


def test_a_limit_comes_with_the_seconds_to_wait(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="fails-rate_limit", messages=ASK)
    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
def test_a_dropped_answer_is_a_broken_connection(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.APIConnectionError):
        list(client.chat.completions.create(model="fails-drop", messages=ASK, stream=stream))


def test_a_hang_lasts_until_the_client_gives_up(provider: FakeProvider, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="fails-hang", messages=ASK)
    assert not provider.calls[-1].done


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("invalid_request", openai.BadRequestError),
        ("context_length", openai.BadRequestError),
        ("content_filter", openai.BadRequestError),
        ("auth", openai.AuthenticationError),
        ("request_timeout", openai.APIStatusError),
        ("server_error", openai.InternalServerError),
        ("unavailable", openai.InternalServerError),
    ],
)
def test_an_outage_ends_when_told(
    provider: FakeProvider, client: openai.OpenAI, fault: Fault, error: type[Exception]
) -> None:
    provider.fail(fault, model="plain")
    with pytest.raises(error):
        client.chat.completions.create(model="plain", messages=ASK)
    client.chat.completions.create(model="turns", messages=ASK)
    provider.heal()
    client.chat.completions.create(model="plain", messages=ASK)


def test_each_site_has_its_own_outages(provider: FakeProvider, client: openai.OpenAI) -> None:
    provider.fail(site="east")
    with pytest.raises(openai.InternalServerError):
        client.with_options(base_url=provider.base_url("east")).chat.completions.create(model="plain", messages=ASK)
    client.with_options(base_url=provider.base_url("west")).chat.completions.create(model="plain", messages=ASK)


def test_outages_come_by_schedule() -> None:
    outage = Outage(from_s=10, to_s=20, model="m")
    assert [outage.holds("m", "", at_s) for at_s in (9.9, 10.0, 19.9, 20.0)] == [False, True, True, False]
    assert not outage.holds("other", "", 15)


def test_sees_a_client_hang_up(provider: FakeProvider, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="slow", messages=ASK, stream=True)
    next(iter(stream))
    call = provider.calls[-1]
    stream.close()
    deadline = time.monotonic() + 5
    while not call.cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such"):
        client.chat.completions.create(model="no-such", messages=ASK)


def test_asks_for_its_key() -> None:
    with (
        FakeProvider(ProviderScript(api_key="right")) as provider,
        openai.OpenAI(api_key="wrong", base_url=provider.base_url(), max_retries=0) as client,
    ):
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="any", messages=ASK)
        client.with_options(api_key="right").chat.completions.create(model="any", messages=ASK)


def test_comes_back_on_the_same_port() -> None:
    provider = FakeProvider().start()
    port = provider.port
    with openai.OpenAI(api_key="any", base_url=provider.base_url(), max_retries=0) as client:
        provider.stop()
        with pytest.raises(openai.APIConnectionError):
            client.models.list()
        provider.start()
        assert provider.port == port
        client.models.list()
    provider.stop()


def test_runs_as_a_process() -> None:
    with (
        FakeProviderProcess(SCRIPT) as provider,
        openai.OpenAI(api_key="any", base_url=provider.base_url(), max_retries=0) as client,
    ):
        client.chat.completions.create(model="plain", messages=ASK)
        assert provider.fail("rate_limit", for_s=600)["outages"] == 1
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="plain", messages=ASK)
        assert provider.heal()["outages"] == 0
        client.chat.completions.create(model="plain", messages=ASK)
        assert provider.counts() == {"calls": 3, "by_model": {"plain": 3}, "outages": 0}


def test_recorded_rows_become_outcomes() -> None:
    rows = [
        {
            "served_model": "b",
            "status": "ok",
            "latency_s": 2.0,
            "ttft_s": 0.5,
            "output_tokens": 40,
            "attempts": [{"model": "a", "status": "timeout", "error_kind": "timeout", "latency_s": 9.0}],
        },
        {"model": "a", "latency_s": float("nan"), "output_tokens": None},
        {"model": "a", "status": "error", "error_kind": "rate_limit"},
    ]
    assert recorded_outcomes(rows) == {
        "a": (Outcome(fault="hang", latency_s=9.0), Outcome(), Outcome(fault="rate_limit")),
        "b": (Outcome(40, 2.0, 0.5),),
    }


def test_an_echo_says_which_call_answered_which_prompt_and_what_is_owed_for_it() -> None:
    with FakeProvider(ProviderScript(echo=True)) as echoing:
        with openai.OpenAI(api_key="any", base_url=echoing.base_url(), max_retries=0, timeout=5) as client:
            said = [
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
                for text in ("first  prompt", "second")
            ]
        bills = echoing.app.bills
    assert [answer.choices[0].message.content for answer in said] == ["call 1: first  prompt", "call 2: second"]
    assert [(bill.number, bill.input_tokens, bill.output_tokens) for bill in bills] == [
        (n, answer.usage.prompt_tokens, answer.usage.completion_tokens) for n, answer in enumerate(said, 1)
    ]


def test_a_call_that_fails_is_not_owed_for() -> None:
    with FakeProvider(ProviderScript(echo=True)) as echoing:
        echoing.fail("server_error")
        with (
            openai.OpenAI(api_key="any", base_url=echoing.base_url(), max_retries=0, timeout=5) as client,
            pytest.raises(openai.InternalServerError),
        ):
            client.chat.completions.create(model="m", messages=ASK)
        assert echoing.app.bills == []
