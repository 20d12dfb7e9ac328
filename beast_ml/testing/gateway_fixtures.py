"""Pytest fixtures that serve the gateway at a port of its own, beside a fake provider; a conftest imports them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.logs.segment_reader import rows_in_segments
from beast_ml.serving.app import App
from beast_ml.serving.chores import HostChores
from beast_ml.serving.services import BodyLimits
from beast_ml.serving.worker import ServingConfig, Worker
from beast_ml.testing.fake_provider import FakeProvider, ProviderScript
from beast_ml.testing.fake_provider.server import listening_socket

__all__ = ["ASK", "MODELS", "PRICES", "Gateway", "gateway_config", "provider", "serve"]

MODELS = ("large", "medium", "small")
"""Candidates of the bundle that is served."""

ASK: list[Any] = [{"role": "user", "content": "python loop compile stack regex thread"}]
"""A conversation to ask with."""

PRICES = {"large": Price(10.0, 30.0), "medium": Price(1.0, 3.0), "small": Price(0.1, 0.3)}
"""Of the candidates."""


class Gateway:
    """A worker that serves on a port of its own.

    Parameters
    ----------
    config
        Of the worker.
    """

    def __init__(self, config: ServingConfig) -> None:
        self.state = config.state
        worker = Worker(config)
        self._listener = listener = listening_socket(0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self._server = uvicorn.Server(uvicorn.Config(App(worker), loop="uvloop", lifespan="on", log_config=None))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                listener.close()
                raise RuntimeError("the gateway does not start: see what it wrote to stderr")
            time.sleep(0.02)

    def client(self, key: str = "any") -> openai.OpenAI:
        """Return OpenAI's own client of it."""
        return openai.OpenAI(api_key=key, base_url=self.url, max_retries=0, timeout=30)

    def rows(self, table: str = "requests") -> list[dict[str, Any]]:
        """Return what is in the log's segments of a table."""
        return list(rows_in_segments(self.state / "segments", table))

    def stop(self) -> None:
        """Stop it; a second time does nothing."""
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    """Return a provider of all models."""
    with FakeProvider(ProviderScript(api_key="provider-key")) as running:
        yield running


@pytest.fixture
def gateway_config(
    provider: FakeProvider,
    router_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., ServingConfig]:
    """Return a function that returns the configuration of a bundle's gateway with some fields changed."""
    provider.heal()
    provider.app.script = ProviderScript(api_key="provider-key")
    monkeypatch.setenv("FAKE_PROVIDER_KEY", "provider-key")

    def config(**changed: Any) -> ServingConfig:
        state = tmp_path / "state"
        fields: dict[str, Any] = {
            "router": str(router_folder),
            "state": state,
            "tracking_uri": "sqlite:///nowhere.db",
            "body": BodyLimits(100_000, 16),
            "requests_per_s": None,
            "prompts": "keep",
            "prompts_of": {},
            "sync_s": 0.2,
            "chores": HostChores(state / "locks" / "leader.lock", ()),
            "open_without_keys": True,
            "admin_key": "admin",
            "prices": PRICES,
            "endpoints": tuple(
                Endpoint(f"{name}-1", name, provider.base_url(name), api_key_env="FAKE_PROVIDER_KEY", region="eu")
                for name in MODELS
            ),
        }
        return ServingConfig(**{**fields, **changed})

    return config


@pytest.fixture
def serve(gateway_config: Callable[..., ServingConfig]) -> Iterator[Callable[..., Gateway]]:
    """Return a function that serves a bundle under a configuration with some fields changed."""
    with ExitStack() as stack:

        def start(**changed: Any) -> Gateway:
            gateway = Gateway(gateway_config(**changed))
            stack.callback(gateway.stop)
            return gateway

        yield start
