import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import openai
import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ERROR_KINDS
from beast_ml.errors import ProviderError
from beast_ml.serving.gateway.failures import failure_of_answer, failure_of_error, provider_error
from beast_ml.serving.gateway.provider import Providers
from beast_ml.testing.fake_provider import FakeProvider, ProviderScript

REQUEST = httpx2.Request("POST", "http://provider/v1/chat/completions")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # as OpenAI, Azure, vLLM, llama.cpp, Anthropic's OpenAI layer, OpenRouter and plain proxies write them
        (400, b'{"error": {"message": "too long", "code": "context_length_exceeded"}}', "context_length"),
        (400, b'{"object": "error", "message": "the maximum context length is 4096 tokens"}', "context_length"),
        (400, b'{"error": {"message": "the request exceeds the available context size"}}', "context_length"),
        (400, b'{"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}', "context_length"),
        (413, b'{"error": "Input is too long for requested model."}', "context_length"),
        (400, b'{"error": {"message": "filtered", "code": "content_filter"}}', "content_filter"),
        (400, b'{"error": {"message": "filtered", "code": "ResponsibleAIPolicyViolation"}}', "content_filter"),
        (400, b'{"error": {"message": "rejected as a result of our safety system"}}', "content_filter"),
        (400, b'{"error": {"message": "temperature must be <= 2"}}', "invalid_request"),
        (422, b'{"detail": [{"msg": "field required"}]}', "invalid_request"),
        (401, b"", "auth"),
        (402, b'{"error": {"message": "Insufficient credits", "code": 402}}', "auth"),
        (403, b'{"error": {"message": "country not supported"}}', "auth"),
        (403, b'{"error": {"message": "the model requires moderation, the input was flagged"}}', "content_filter"),
        (403, b'{"error": {"message": "refused", "code": "content_policy_violation"}}', "content_filter"),
        (403, b'{"error": {"message": "Missing scopes: model.read"}}', "auth"),
        (404, b'{"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}', "provider"),
        (408, b"", "timeout"),
        (504, b"<html>gateway timeout</html>", "timeout"),
        (429, b'{"error": {"message": "Rate limit reached"}}', "rate_limit"),
        (500, b'{"error": {"message": "our context length service failed"}}', "provider"),
        (502, b"<html>bad gateway</html>", "provider"),
        (503, b"\xff\xfe", "provider"),
        (307, b"", "provider"),
    ],
)  # fmt: skip
def test_answers_are_told_apart(status, body, kind):
    failure = failure_of_answer(status, {}, body)
    assert failure.kind == kind
    assert failure.kind in ERROR_KINDS
    assert failure.said.startswith(str(status))


def test_the_seconds_to_wait_are_read_in_every_form():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    told = [{"retry-after": "7"}, {"retry-after-ms": "250"}, {"retry-after": later}, {"retry-after": "soon"}, {}]
    seconds = [failure_of_answer(429, headers, b"").retry_after_s for headers in told]
    assert seconds[:2] == [7.0, 0.25]
    assert 25 < seconds[2] <= 30
    assert seconds[3:] == [None, None]
    assert failure_of_answer(429, {"retry-after": "-3"}, b"").retry_after_s == 0
    assert failure_of_answer(429, {"retry-after": "1e9"}, b"").retry_after_s == 3600
    assert failure_of_answer(429, {"retry-after": "nan"}, b"").retry_after_s is None


def caused(error, cause):
    error.__cause__ = cause
    return error


def status_error(kind, status, body):
    return kind("said", response=httpx2.Response(status, json=body, request=REQUEST), body=body)


@pytest.mark.parametrize(
    ("error", "kind", "may_cost"),
    [
        (TimeoutError(), "timeout", True),
        (openai.APITimeoutError(REQUEST), "timeout", True),
        (httpx2.ReadTimeout("slow"), "timeout", True),
        (httpx2.ConnectTimeout("nobody"), "timeout", False),
        (httpx2.PoolTimeout("busy"), "timeout", False),
        (httpx2.ConnectError("refused"), "provider", False),
        (httpx2.RemoteProtocolError("cut"), "provider", True),
        (caused(openai.APIConnectionError(request=REQUEST), httpx2.ConnectError("refused")), "provider", False),
        (openai.APIConnectionError(request=REQUEST), "provider", True),
        (status_error(openai.RateLimitError, 429, {"error": {"message": "slow"}}), "rate_limit", False),
        (status_error(openai.AuthenticationError, 401, {}), "auth", False),
        (openai.APIError("in the stream", REQUEST, body=None), "provider", True),
    ],
)
def test_exceptions_are_told_apart(error, kind, may_cost):
    failure = failure_of_error(error)
    assert (failure.kind, failure.may_cost) == (kind, may_cost)
    assert failure.said


def test_what_is_no_failure_of_a_provider_stays_an_error():
    with pytest.raises(KeyError):
        failure_of_error(KeyError("ours"))


def test_a_message_has_a_next_step_for_every_kind_that_providers_cause():
    for kind in ("provider", "timeout", "rate_limit", "context_length", "content_filter", "auth", "invalid_request"):
        failure = failure_of_answer(429, {}, b"{}")
        error = provider_error(type(failure)(kind, "503 'busy'", 503), "model-a", "east", 2)
        assert isinstance(error, ProviderError)
        cause, _, step = str(error).partition("; ")
        assert cause == f"{kind}: 'model-a' at endpoint 'east' answered 503 'busy' (attempt 2)"
        assert len(step) > 10
        assert "look at the log" not in step


def test_probes_tell_the_living_from_the_dead():
    async def probed(provider, key):
        endpoint = Endpoint("e", "m", provider.base_url(), api_key_env="KEY")
        providers = Providers([endpoint], {"KEY": key})
        try:
            return await providers.probe(endpoint)
        finally:
            await providers.close()

    with FakeProvider(ProviderScript(api_key="right")) as provider:
        assert asyncio.run(probed(provider, "right")) > 0
    with pytest.raises(ProviderError) as caught:
        asyncio.run(probed(provider, "right"))
    assert caught.value.kind == "provider"


@pytest.mark.parametrize(
    ("status", "alive"), [(403, True), (404, True), (405, True), (429, True), (401, False), (500, False), (503, False)]
)
def test_whatever_answers_is_alive_but_for_errors_of_its_own_and_keys_it_does_not_know(monkeypatch, status, alive):
    async def probed():
        endpoint = Endpoint("e", "m", "http://provider/v1")
        providers = Providers([endpoint], {})

        async def answers(request, **_):
            return httpx2.Response(status, json={"error": {"message": "Missing scopes"}}, request=request)

        monkeypatch.setattr(providers._http, "send", answers)
        try:
            return await providers.probe(endpoint)
        except ProviderError:
            return None
        finally:
            await providers.close()

    assert (asyncio.run(probed()) is not None) is alive
