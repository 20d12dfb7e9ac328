"""The gateway against a real provider: whom it calls, what it answers, what is logged, what is settled."""

import asyncio

import msgspec
import pytest

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint, ModelLimits
from beast_ml.errors import BudgetExceededError, InputError, ProviderError, UnavailableError
from beast_ml.serving.gateway.parts import Patience
from beast_ml.testing.fake_provider import FAULTS, Outcome


def test_an_answer_is_the_providers_and_is_on_record(bench):
    answer = bench.ask()
    body, record = msgspec.json.decode(answer.body), bench.record
    assert body["choices"][0]["message"]["content"]
    assert (record.status, record.served_model, record.endpoint) == ("ok", "big", "big-1")
    assert record.output_tokens == body["usage"]["completion_tokens"] == 16
    assert record.cost_usd == pytest.approx((record.input_tokens * 10 + 16 * 30) / 1e6)
    assert record.latency_s > 0
    assert answer.headers == {
        "x-beast-request-id": "req_1",
        "x-beast-model": "big",
        "x-beast-endpoint": "big-1",
        "x-beast-chosen-model": "big",
        "x-beast-policy-version": "digest",
        "x-beast-propensity": "0.75",
        "x-beast-predicted-cost-usd": "0.0001",
        "x-beast-cost-usd": f"{record.cost_usd:.10g}",
    }


def test_the_request_goes_through_but_for_what_is_ours(bench):
    bench.parts.endpoints[0] = msgspec.structs.replace(bench.parts.endpoints[0], provider_model="big-2026")
    bench.script()
    bench.provider.app.script.outcomes["big-2026"] = (Outcome(),)
    bench.ask(temperature=0.5, logit_bias={"7": -1}, beast={"app": "tests"}, user="ann", weird=[1, {"a": None}])
    (call,) = bench.provider.calls
    assert call.body == {
        "model": "big-2026",
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
        "temperature": 0.5,
        "logit_bias": {"7": -1},
        "user": "ann",
        "weird": [1, {"a": None}],
    }
    assert "authorization" not in call.headers
    assert not any(name.startswith("x-stainless") for name in call.headers)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("context_length", "context_length"),
        ("content_filter", "content_filter"),
        ("auth", "auth"),
        ("request_timeout", "timeout"),
        ("rate_limit", "rate_limit"),
        ("server_error", "provider"),
        ("unavailable", "provider"),
        ("drop", "provider"),
        ("stream_error", "provider"),
        ("garbage", "provider"),
        ("hang", "timeout"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_another_model_may_do_better_falls_back(bench, fault, kind, stream):
    bench.parts.endpoints = [msgspec.structs.replace(each, timeout_s=0.3) for each in bench.parts.endpoints]
    # A stream that breaks off with its first event has sent nothing of the answer yet.
    bench.script(big=Outcome(fault=fault, output_tokens=0 if stream and fault in ("drop", "stream_error") else 8))
    if stream:
        headers, said = bench.stream()
        assert said.endswith(b"data: [DONE]\n\n")
    else:
        headers = bench.ask().headers
    record = bench.record
    assert headers["x-beast-model"] == "middle"
    assert [(each.model, each.error_kind) for each in record.attempts] == [("big", kind), ("middle", None)]
    assert (record.status, record.error_kind, record.served_model) == ("ok", None, "middle")
    assert record.attempts[0].status == ("timeout" if kind == "timeout" else "error")


def test_the_faults_are_all_tried():
    assert set(FAULTS) == {
        "none", "invalid_request", "context_length", "content_filter", "auth", "request_timeout", "rate_limit",
        "server_error", "unavailable", "drop", "stream_error", "garbage", "hang",
    }  # fmt: skip


def test_a_wrong_request_is_not_tried_elsewhere(bench):
    bench.script(big=Outcome(fault="invalid_request"))
    with pytest.raises(ProviderError) as caught:
        bench.ask()
    assert caught.value.kind == "invalid_request"
    assert len(bench.record.attempts) == 1
    assert bench.record.error_kind == "invalid_request"


def test_an_error_says_cause_model_endpoint_attempt_and_what_to_do(bench):
    bench.script(
        big=Outcome(fault="unavailable"),
        middle=Outcome(fault="auth"),
        small=Outcome(fault="rate_limit", retry_after_s=7),
    )
    with pytest.raises(ProviderError) as caught:
        bench.ask()
    said = str(caught.value)
    for part in (
        "rate_limit: 'small' at endpoint 'small-1' answered 429 'Rate limit reached for requests.' (attempt 3)",
        "auth of 'middle' at 'middle-1'",
        "provider of 'big' at 'big-1'",
        "add an endpoint",
    ):
        assert part in said
    assert caught.value.retry_after_s == 7
    assert bench.parts.finishes[-1] == ("small-1", "rate_limit", 7)
    assert (bench.record.status, bench.record.error_kind) == ("error", "rate_limit")


def test_another_endpoint_of_the_model_comes_before_another_model(bench):
    bench.parts.endpoints.insert(1, Endpoint("big-2", "big", bench.provider.base_url("second")))
    bench.provider.fail("unavailable", site="big")
    headers = bench.ask().headers
    assert headers["x-beast-endpoint"] == "big-2"
    assert "x-beast-fallback" not in headers  # the chosen model has answered


def test_what_is_too_long_for_a_model_is_not_sent_to_its_other_endpoints_nor_to_shorter_models(bench):
    bench.parts.endpoints.insert(1, Endpoint("big-2", "big", bench.provider.base_url("second")))
    bench.parts.limits = {"big": ModelLimits(8192), "middle": ModelLimits(4096), "small": ModelLimits(32_768)}
    bench.script(big=Outcome(fault="context_length"))
    assert bench.ask().headers["x-beast-model"] == "small"


def test_attempts_end_with_patience(bench):
    bench.patience = Patience(max_attempts=2)
    bench.script(**{name: Outcome(fault="unavailable") for name in ("big", "middle", "small")})
    with pytest.raises(ProviderError):
        bench.ask()
    assert len(bench.record.attempts) == 2


def test_attempts_end_with_the_budget_of_retries(bench):
    bench.parts.retries = 0
    bench.script(big=Outcome(fault="unavailable"))
    with pytest.raises(ProviderError, match="'big'"):
        bench.ask()
    assert len(bench.record.attempts) == 1


def test_a_deadline_holds_over_all_attempts(bench):
    bench.patience = Patience(deadline_s=0.2)
    bench.script(big=Outcome(fault="hang"))
    with pytest.raises(ProviderError) as caught:
        bench.ask()
    assert caught.value.kind == "timeout"
    assert (bench.record.status, len(bench.record.attempts)) == ("timeout", 1)


def test_without_anybody_to_call_it_says_when_who_is_tried_again(bench):
    bench.parts.endpoints = []
    with pytest.raises(UnavailableError, match=r"'big' is tried again in 7 s, .*: try again in 7 s") as raised:
        bench.ask()
    assert raised.value.retry_after_s == 7
    assert (bench.record.status, bench.record.error_kind) == ("rejected", "no_candidate")


def test_a_dead_port_is_a_provider_that_failed(bench):
    bench.parts.endpoints[0] = Endpoint("big-1", "big", "http://127.0.0.1:9/v1")
    bench.budget(10**12)
    assert bench.ask().headers["x-beast-model"] == "middle"
    assert bench.parts.settled[0][2] == 0  # nothing was sent, so nothing was spent


def test_a_stream_goes_through_and_ends_with_its_cost(bench):
    headers, said = bench.stream()
    events = [part for part in said.split(b"\n\n") if part]
    assert events[-1] == b"data: [DONE]"
    record = bench.record
    assert events[-2] == b": x-beast-predicted-cost-usd: 0.0001\n: x-beast-cost-usd: %.10g" % record.cost_usd
    chunks = [msgspec.json.decode(event[6:]) for event in events[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert not any(chunk.get("usage") for chunk in chunks)  # nobody asked
    assert record.output_tokens == 16
    assert record.cost_usd > 0
    assert 0 < record.ttft_s <= record.latency_s
    assert "x-beast-cost-usd" not in headers


def test_usage_is_streamed_to_whoever_asks(bench):
    _, said = bench.stream(stream_options={"include_usage": True})
    assert b'"usage":{"prompt_tokens"' in said


def test_a_stream_that_breaks_is_not_begun_anew(bench):
    bench.script(big=Outcome(fault="drop", output_tokens=64))
    bench.budget(10**12)
    _, said = bench.stream()
    last = msgspec.json.decode([part for part in said.split(b"\n\n") if part][-1][6:])
    assert last["error"]["code"] == last["kind"] == "provider"
    assert "after a part of its answer" in last["detail"]
    record = bench.record
    assert (record.status, record.error_kind, record.served_model) == ("error", "provider", None)
    assert len(record.attempts) == 1
    assert record.output_tokens > 0
    ((_, upper, spent),) = bench.parts.settled
    assert spent == upper  # what may have been spent counts as spent


def test_what_is_answered_is_settled_at_its_cost(bench):
    bench.budget(10**12)
    bench.ask()
    ((name, upper, spent),) = bench.parts.settled
    assert name == "gw:req_1.1"  # no request id: nobody can settle it by an outcome
    assert spent == round(bench.record.cost_usd * 1e9)
    assert upper > spent


def test_each_attempt_is_reserved_and_settled_by_itself(bench):
    bench.budget(10**12)
    bench.script(big=Outcome(fault="rate_limit"), middle=Outcome(fault="drop"))
    bench.ask()
    (first, second, third) = bench.parts.settled
    assert (first[0], first[2]) == ("gw:req_1.1", 0)  # refused: costs nothing
    assert (second[0], second[2]) == ("gw:req_1.2", second[1])  # nobody knows
    assert third[0] == "gw:req_1.3"
    assert 0 < third[2] < third[1]


def test_a_tight_budget_makes_the_answer_shorter(bench):
    bench.budget(100_000_000)
    bench.script(big=Outcome(output_tokens=4000))
    headers = bench.ask().headers
    (call,) = bench.provider.calls
    assert call.body["max_tokens"] in (4096 // 4, 4096 // 16)
    assert headers["x-beast-max-tokens"] == str(call.body["max_tokens"])
    assert bench.record.output_tokens <= call.body["max_tokens"]
    ((_, upper, spent),) = bench.parts.settled
    assert spent <= upper <= 100_000_000
    assert bench.parts.left_nano >= 0


def test_where_no_budget_holds_nothing_is_said_of_the_most_tokens(bench):
    assert "x-beast-max-tokens" not in bench.ask(max_tokens=9).headers


def test_a_stream_says_how_many_tokens_a_budget_leaves_it(bench):
    bench.budget(100_000_000)
    headers, _ = bench.stream()
    (call,) = bench.provider.calls
    assert headers["x-beast-max-tokens"] == str(call.body["max_tokens"])


def test_a_clients_own_limit_is_kept(bench):
    bench.budget(10**12)
    bench.ask(max_completion_tokens=7)
    (call,) = bench.provider.calls
    assert call.body["max_completion_tokens"] == 7
    assert "max_tokens" not in call.body


def test_a_budget_that_is_spent_goes_to_cheaper_models_then_refuses(bench):
    bench.budget(8_000_000)
    assert bench.ask().headers["x-beast-model"] == "small"
    bench.parts.records.clear()
    bench.budget(1)
    with pytest.raises(BudgetExceededError):
        bench.ask()
    assert (bench.record.status, bench.record.error_kind) == ("rejected", "budget")
    assert bench.record.attempts == ()


def test_where_the_chosen_model_cannot_be_called_the_choice_is_made_again_among_the_others(bench):
    bench.parts.endpoints = [each for each in bench.parts.endpoints if each.model != "big"]
    headers = bench.ask().headers
    assert bench.parts.planned_again == [("middle", "small")]
    assert headers["x-beast-model"] == bench.record.served_model == "small"
    assert (headers["x-beast-propensity"], headers["x-beast-predicted-cost-usd"]) == ("0.5", "0.0002")
    assert headers["x-beast-chosen-model"] == "small"
    assert "x-beast-fallback" not in headers
    assert bench.parts.plans[0].models == ("small", "middle")


def test_a_choice_is_made_again_until_somebody_can_be_called(bench):
    bench.parts.endpoints = [each for each in bench.parts.endpoints if each.model == "middle"]
    assert bench.ask().headers["x-beast-model"] == "middle"
    assert bench.parts.plans[0].models[0] == "middle"


@pytest.mark.parametrize("stream", [False, True])
def test_a_choice_that_was_called_stays_the_choice_and_a_fallback_says_that_it_is_one(bench, stream):
    bench.script(big=Outcome(fault="unavailable"))
    headers = bench.stream()[0] if stream else bench.ask().headers
    assert (headers["x-beast-model"], headers["x-beast-fallback"]) == ("middle", "true")
    assert (headers["x-beast-chosen-model"], headers["x-beast-propensity"]) == ("big", "0.75")
    assert headers["x-beast-predicted-cost-usd"] == "0.0001"
    assert bench.record.served_model == "middle"
    assert bench.parts.planned_again == []
    assert bench.parts.plans[0].models[0] == "big"


def test_a_call_that_failed_is_no_rejection_whatever_keeps_the_others_from_being_called(bench):
    bench.budget(10**12)
    bench.parts.prices = {"big": Price(10.0, 30.0)}
    bench.script(big=Outcome(fault="unavailable"))
    with pytest.raises(UnavailableError, match="nobody knows"):
        bench.ask()
    assert (bench.record.status, bench.record.error_kind) == ("error", "provider")


def test_a_budget_without_prices_fails_closed(bench):
    bench.parts.prices = {}
    bench.budget(10**12)
    with pytest.raises(UnavailableError, match="nobody knows"):
        bench.ask()
    assert (bench.record.status, bench.record.error_kind) == ("rejected", "ledger")


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_hangs_up_is_on_record_and_the_provider_is_told(bench, stream):
    bench.budget(10**12)
    bench.script(big=Outcome(latency_s=30.0, ttft_s=0.05, output_tokens=400))

    async def hanging_up(gateway):
        async def whole():
            answer = await gateway.answer(bench.chat(stream=stream), "acme", "req_1")
            await answer.relay(write)

        async def write(data, last):
            came.append(data)

        came = []
        task = asyncio.create_task(whole())
        async with asyncio.timeout(20):
            while not (came if stream else bench.provider.calls):
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bench.run(hanging_up)
    record = bench.record
    assert (record.status, record.error_kind, record.served_model) == ("cancelled", None, None)
    assert [each.status for each in record.attempts] == ["cancelled"]
    assert (record.output_tokens > 0) is stream
    (call,) = bench.provider.calls
    for _ in range(100):
        if call.cancelled:
            break
        asyncio.run(asyncio.sleep(0.02))
    assert call.cancelled
    assert bench.parts.finishes == [("big-1", None, None)]


def test_names_that_no_header_can_hold_are_quoted(bench):
    bench.parts.models = ("modèle\n",)
    bench.parts.endpoints = [Endpoint("ost", "modèle\n", bench.provider.base_url(), provider_model="big")]
    assert bench.ask().headers["x-beast-model"] == "mod%C3%A8le%0A"


def test_under_a_budget_what_has_no_bound_is_refused(bench):
    bench.budget(10**12)
    with pytest.raises(InputError, match="nobody can say what `web_search_options` may cost"):
        bench.ask(web_search_options={})
    assert (bench.record.status, bench.record.error_kind) == ("rejected", "invalid_request")
    assert bench.parts.settled == []
