import asyncio
import json

import pytest

from beast_ml.benchmarks.serving.application import ApplicationPlan, call_application, in_application
from beast_ml.errors import UnavailableError
from beast_ml.testing.fake_provider import FakeProvider, ProviderScript
from beast_ml.testing.gateway_fixtures import MODELS


@pytest.fixture
def plan(tmp_path, router_folder):
    """Return a function that returns a plan of few calls at a provider."""

    def write(name, *bodies):
        (tmp_path / name).write_text("".join(json.dumps(body) + "\n" for body in bodies))
        return str(tmp_path / name)

    def made(provider, temperature=0.0):
        chat = {"model": "beast", "messages": [{"role": "user", "content": "python loop"}], "temperature": temperature}
        return ApplicationPlan(
            router=str(router_folder),
            state=str(tmp_path / "state"),
            models=MODELS,
            base_url=provider.base_url(),
            route=write("route", {"prompt": "python loop compile"}),
            whole=write("whole", chat),
            streamed=write("streamed", chat | {"stream": True}),
            turns=2,
            calls=5,
        )

    return made


def test_what_the_application_takes_is_measured_turn_by_turn(plan, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", "none")
    with FakeProvider(ProviderScript()) as provider:
        turns = asyncio.run(call_application(plan(provider)))
        assert len(provider.calls) == 1  # all others were answered out of the memory
    assert len(turns) == 2
    assert all(min(turn.route, turn.hit, turn.streamed) > 0 for turn in turns)


def test_what_is_not_in_memory_is_no_hit(plan, tmp_path):
    with FakeProvider(ProviderScript()) as provider, pytest.raises(UnavailableError, match="by the tier None"):
        in_application(plan(provider, temperature=2.0), tmp_path)
