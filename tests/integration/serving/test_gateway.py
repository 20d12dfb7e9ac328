"""OpenAI's own client, unchanged, against a real worker that calls a real (fake) provider."""

import time

import openai
import pytest

from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.keys.store import KeyStore
from beast_ml.testing.fake_provider import Outcome, ProviderScript
from beast_ml.testing.gateway_fixtures import ASK, PRICES


def test_the_stock_client_is_answered_by_the_model_that_the_router_chose(serve):
    gateway = serve()
    with gateway.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="beast", messages=ASK, user="ann")
    answer, headers = raw.parse(), raw.headers
    assert answer.choices[0].message.content
    (row,) = gateway.rows()
    assert answer.model == headers["x-beast-model"] == row["chosen_model"] == row["served_model"]
    assert headers["x-beast-request-id"] == row["request_id"]
    assert headers["x-beast-endpoint"] == row["endpoint"] == f"{answer.model}-1"
    assert headers["x-beast-policy-version"] == row["policy_version"]
    assert float(headers["x-beast-propensity"]) == pytest.approx(row["propensity"])
    assert float(headers["x-beast-predicted-cost-usd"]) == pytest.approx(row["predicted_cost_usd"])
    cost = PRICES[answer.model].cost_usd(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert float(headers["x-beast-cost-usd"]) == pytest.approx(cost)
    assert row["cost_usd"] == pytest.approx(cost)
    assert (row["status"], row["user_id"], row["region"]) == ("ok", "ann", "eu")
    assert (row["input_tokens"], row["output_tokens"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert [(each["model"], each["status"]) for each in row["attempts"]] == [(answer.model, "ok")]
    assert row["prompt"] == ASK[0]["content"]


def test_the_stock_client_streams(serve):
    gateway = serve()
    with gateway.client() as client:
        stream = client.chat.completions.create(
            model="beast", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        plain = list(client.chat.completions.create(model="beast", messages=ASK, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert chunks[-1].usage.completion_tokens == 16
    assert all(chunk.choices for chunk in plain)
    first, second = gateway.rows()
    assert (first["status"], second["status"]) == ("ok", "ok")
    assert first["output_tokens"] == second["output_tokens"] == 16
    assert first["ttft_s"] <= first["latency_s"]


def test_the_routers_options_go_beside_the_body(serve):
    gateway = serve()
    with gateway.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model="beast", messages=ASK, extra_body={"beast": {"candidates": ["small"], "session_id": "s", "app": "a"}}
        )
    assert raw.headers["x-beast-model"] == "small"
    assert raw.headers["x-beast-propensity"] == "1"
    (row,) = gateway.rows()
    assert (row["candidates"], row["session_id"], row["app"]) == (["small"], "s", "a")


def test_a_named_model_is_called_and_on_record(serve):
    gateway = serve()
    with gateway.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="medium", messages=ASK)
        with pytest.raises(openai.NotFoundError, match="no endpoint serves 'gpt-7'"):
            client.chat.completions.create(model="gpt-7", messages=ASK)
    assert raw.headers["x-beast-model"] == "medium"
    assert "x-beast-policy-version" not in raw.headers
    row = gateway.rows()[0]
    assert (row["chosen_model"], row["candidates"], row["propensity"]) == ("medium", ["medium"], 1.0)
    assert "policy_version" not in row


def test_a_model_that_fails_is_made_good_and_masked(serve, provider):
    gateway = serve()
    with gateway.client() as client:
        chosen = client.chat.completions.create(model="beast", messages=ASK).model
        provider.fail("rate_limit", model=chosen, retry_after_s=600)
        answer = client.chat.completions.create(model="beast", messages=ASK)
        again = client.chat.completions.create(model="beast", messages=ASK)
    assert answer.model != chosen
    assert again.model != chosen
    _, fallen, masked = gateway.rows()
    assert [(each["model"], each.get("error_kind")) for each in fallen["attempts"]] == [
        (chosen, "rate_limit"),
        (answer.model, None),
    ]
    assert (fallen["chosen_model"], fallen["served_model"], fallen["status"]) == (chosen, answer.model, "ok")
    assert chosen not in masked["candidates"]  # its breaker is open: the router does not choose it


def test_errors_are_openais_and_problems_at_once(serve, provider):
    gateway = serve()
    provider.fail("content_filter")
    with gateway.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="beast", messages=ASK)
    error, body = caught.value, caught.value.response.json()
    assert error.code == "content_filter"
    assert error.response.headers["content-type"] == "application/problem+json"
    assert error.response.headers["x-beast-request-id"] == body["request_id"]
    assert body["status"] == 400
    assert body["kind"] == "content_filter"
    assert body["detail"] == body["error"]["message"]
    (row,) = gateway.rows()
    assert (row["status"], row["error_kind"], len(row["attempts"])) == ("error", "content_filter", 3)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"{}", 422),
        (b'{"model": "beast", "messages": []}', 422),
        (b'{"model": "beast", "messages": [{"role": "user", "content": null}]}', 422),
        (b'{"model": "beast", "messages": [{"role": "user", "content": "a"}], "max_tokens": -1}', 422),
        (b'{"model": "beast", "messages": [{"role": "user", "content": "a"}], "beast": {"colour": "red"}}', 422),
        (b'{"model": "beast", "messages": [{"role": "user", "content": "' + b"a" * 200_000 + b'"}]}', 413),
        (b'{"model": "beast", "messages": ' + b"[" * 40 + b"]" * 40 + b"}", 422),
    ],
)
def test_bad_bodies_are_the_clients_fault(serve, body, status):
    import httpx2

    answer = httpx2.post(f"{serve().url}/chat/completions", content=body)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.json()["error"]["message"]


def test_keys_are_asked_for(serve, tmp_path):
    key = KeyStore.open(tmp_path / "state", None).create("acme")
    gateway = serve()
    with gateway.client("bst_00_wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="beast", messages=ASK)
    with gateway.client(key) as client:
        client.chat.completions.create(model="beast", messages=ASK)
    (row,) = gateway.rows()
    assert row["tenant_id"] == "acme"


def test_a_hard_budget_is_not_overrun(serve, provider):
    provider.app.script = ProviderScript(outcomes={"*": (Outcome(output_tokens=5000),)}, api_key="provider-key")
    limit_usd = 0.01
    gateway = serve(budgets=(BudgetRule(scope="global", limit_nano=round(limit_usd * 1e9), key="*", period="day"),))
    n_refused = 0
    with gateway.client() as client:
        for _ in range(60):
            try:
                client.chat.completions.create(model="beast", messages=ASK)
            except openai.APIStatusError as error:
                assert (error.status_code, error.code) == (402, "insufficient_quota")  # noqa: PT017
                n_refused += 1
    rows = gateway.rows()
    assert len(rows) == 60
    assert n_refused == sum(row.get("error_kind") == "budget" for row in rows) > 0
    assert 0 < sum(row.get("cost_usd", 0.0) for row in rows) <= limit_usd


def test_a_client_that_hangs_up_is_on_record(serve, provider):
    provider.app.script = ProviderScript(
        outcomes={"*": (Outcome(latency_s=60.0, ttft_s=0.01, output_tokens=400),)}, api_key="provider-key"
    )
    gateway = serve()
    with gateway.client() as client:
        stream = client.chat.completions.create(model="beast", messages=ASK, stream=True)
        next(iter(stream))
        stream.close()
    deadline = time.monotonic() + 10
    while not (gateway.rows() and provider.calls[-1].cancelled):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (row,) = gateway.rows()
    assert row["status"] == "cancelled"
    assert "error_kind" not in row
    assert row["output_tokens"] > 0
    (signal,) = gateway.rows("signals")
    assert (signal["kind"], signal["request_id"]) == ("abandonment", row["request_id"])


def test_streams_leave_their_connections_to_the_next(serve, provider):
    gateway = serve()
    with gateway.client() as client:
        for _ in range(10):
            list(client.chat.completions.create(model="large", messages=ASK, stream=True))
    assert len({call.client for call in list(provider.calls)[-10:]}) < 5


def test_a_server_without_endpoints_says_so(serve):
    gateway = serve(endpoints=())
    with gateway.client() as client, pytest.raises(openai.InternalServerError, match="only decides"):
        client.chat.completions.create(model="beast", messages=ASK)
