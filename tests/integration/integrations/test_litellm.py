"""LiteLLM's own proxy with our hook in it, between OpenAI's client, a server and a provider."""

import time

import openai
import pytest
import yaml

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.testing.gateway_fixtures import ASK, MODELS
from beast_ml.testing.other_python import FINDS_BEAST, python_with

pytestmark = pytest.mark.slow

HOOK = """
from beast_ml.integrations.litellm import BeastHook

hook = BeastHook({url!r}, default_model="small", timeout_s=5.0)
"""


@pytest.fixture
def proxy(serve, provider, tmp_path):
    python = python_with("litellm")
    gateway = serve()

    def deployment(name, provider_model):
        calls = {"model": f"openai/{provider_model}", "api_base": provider.base_url(), "api_key": "provider-key"}
        costs = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}
        return {"model_name": name, "litellm_params": calls | costs}

    models = [*(deployment(name, name) for name in MODELS), deployment("beast", "small")]
    config = {
        "model_list": models,
        "litellm_settings": {"callbacks": "beast_hook.hook"},
        "router_settings": {"num_retries": 0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "beast_hook.py").write_text(HOOK.format(url=gateway.url))
    port = free_port()
    server = ServerProcess.start(
        [str(python.with_name("litellm")), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)],
        port,
        tmp_path / "litellm.log",
        environment={**FINDS_BEAST, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        ready="/health/liveliness",
        within_s=120.0,
        folder=tmp_path,
    )
    yield gateway, openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0, timeout=30)
    server.kill()


def outcomes(gateway, n, within_s=20.0):
    """Return what the proxy told; it tells in the background."""
    deadline = time.monotonic() + within_s
    while len(told := gateway.rows("outcomes")) < n and time.monotonic() < deadline:
        time.sleep(0.05)
    return told


def test_the_proxy_calls_the_chosen_model_falls_back_and_tells(proxy, provider):
    gateway, client = proxy
    answer = client.chat.completions.create(model="beast", messages=ASK)
    (row,) = gateway.rows()
    (told,) = outcomes(gateway, 1)
    chosen = row["chosen_model"]
    assert provider.calls[-1].model == chosen
    assert (row["app"], told["request_id"], told["served_model"]) == ("litellm", row["request_id"], chosen)
    usage = answer.usage
    assert told["output_tokens"] == usage.completion_tokens
    assert told["cost_usd"] == pytest.approx(1e-6 * usage.prompt_tokens + 3e-6 * usage.completion_tokens)

    streamed = list(client.chat.completions.create(model="beast", messages=ASK, stream=True))
    assert streamed
    assert outcomes(gateway, 2)[1]["served_model"] == chosen

    provider.fail("unavailable", model=chosen)
    assert client.chat.completions.create(model="beast", messages=ASK).choices[0].message.content
    instead = provider.calls[-1].model
    assert instead != chosen
    ends = [(each["served_model"], each["status"]) for each in outcomes(gateway, 4)[2:]]
    assert ends == [(chosen, "error"), (instead, "ok")]
    provider.heal()

    client.chat.completions.create(model="medium", messages=ASK)
    assert provider.calls[-1].model == "medium"
    gateway.stop()
    client.chat.completions.create(model="beast", messages=ASK)
    assert provider.calls[-1].model == "small"
    assert len(gateway.rows()) == 3
