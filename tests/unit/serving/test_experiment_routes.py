import json

import pytest

from beast_ml.cli import experiment as command
from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - fixtures are used by name
from beast_ml.testing.serving_fixtures import ADMIN_KEY


@pytest.fixture
def served(serving, monkeypatch):
    """Have the commands ask a server in this process."""
    api = serving()

    def call(method, path, body=None, *, url, key, needs):
        answer = api.post(path, body, key) if method == "POST" else api.get(path, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    monkeypatch.setattr(command, "call_server", call)
    return api


def test_an_experiment_of_a_running_server_is_created_and_stopped(beast, served):  # noqa: F811 - the fixture
    arms = ("--variant", "new=champion:0.5", "--guardrail", "errors=0.02", "--layer", "all", "--layer-share", 0.5)
    code, printed, err = beast("experiment", "create", "same", *arms, "--key", ADMIN_KEY, "--json")
    assert code == 0, err
    (created,) = json.loads(printed)
    assert [each["shares"] for each in created["history"]] == [{"control": 0.5, "new": 0.5}]
    shown = [served.post("/v1/route", {"prompt": "2 + 2?", "user_id": f"u{i}"}).json() for i in range(80)]
    drawn = [each.get("variant") for each in shown]
    assert {"control", "new", None} == set(drawn)
    assert 20 < drawn.count(None) < 60
    code, printed, _ = beast("experiment", "stop", "same", "--key", ADMIN_KEY)
    assert code == 0
    assert "stopped" in printed
    assert "variant" not in served.post("/v1/route", {"prompt": "2 + 2?", "user_id": "u0"}).json()
    code, printed, _ = beast("experiment", "status", "--key", ADMIN_KEY, "--json")
    assert [each["id"] for each in json.loads(printed)] == ["same"]
