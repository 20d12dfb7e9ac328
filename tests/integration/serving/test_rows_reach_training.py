"""Requests of every kind go through the HTTP API; what compaction makes of their rows is true of each."""

import asyncio
import json

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.serving.gateway.chat_request import decode_chat
from beast_ml.testing.fake_provider import FakeProvider, Outcome, ProviderScript
from beast_ml.testing.router_fixtures import (  # noqa: F401 - fixtures are used by name
    distilled,
    fitted,
    loaded,
    paying_policy,
    router_folder,
    static_folder,
    training_set,
    world,
)
from beast_ml.testing.serving_fixtures import serving  # noqa: F401

MODELS = ("large", "medium", "small")
PRICES = {"large": Price(10.0, 30.0), "medium": Price(1.0, 3.0), "small": Price(0.1, 0.3)}


@pytest.fixture(scope="module")
def provider():
    with FakeProvider(ProviderScript()) as running:
        yield running


@pytest.fixture
def api(serving, provider):  # noqa: F811
    """Return a server with a gateway, under some configuration."""
    provider.heal()
    provider.app.script = ProviderScript()

    def start(**changed):
        endpoints = tuple(Endpoint(f"{name}-1", name, provider.base_url(name)) for name in MODELS)
        return serving(**{"endpoints": endpoints, "prices": PRICES, **changed})

    return start


class Learnt:
    """What training reads of the log."""

    def __init__(self, api, folder):
        api.client.__exit__(None, None, None)  # the segment is sealed
        self.store = LogStore(folder / "store")
        self.summary = compact(api.state / "segments", self.store, folder / "quarantine")
        assert self.summary.quarantined == {}
        self.rows = {row["request_id"]: row for row in self.store.requests().to_pylist()}
        self.outcomes = self.store.logged_outcomes() if any(r["chosen_model"] for r in self.rows.values()) else None

    def of(self, request_id):
        """Return chosen, served, failed, quality."""
        seen = self.outcomes
        (i,) = np.flatnonzero(seen.matrix.query_ids == request_id)
        models, served = seen.matrix.models, seen.served[i]
        quality = None if served < 0 else seen.matrix.quality[i, served]
        known = None if quality is None or np.isnan(quality) else float(quality)
        return models[seen.chosen[i]], None if served < 0 else models[served], bool(seen.failed[i]), known

    def holds(self, request_id):
        return self.outcomes is not None and request_id in self.outcomes.matrix.query_ids


def counted(api, metric):
    """Return a counter's values by label, as Prometheus is told."""
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith(f"beast_{metric}_total{{")]
    return {line.partition('="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def ask(text="python loop compile stack regex thread", **more):
    return {"model": "beast", "messages": [{"role": "user", "content": text}], **more}


def chat(api, **more):
    answer = api.post("/v1/chat/completions", ask(**more))
    return answer, answer.headers["x-beast-request-id"]


def test_what_is_routed_and_told(api, tmp_path):
    running = api()
    told, failed, untold = (
        running.post("/v1/route", {"prompt": f"python loop {i}", "user_id": "ann", "session_id": "s"}).json()
        for i in range(3)
    )
    batch = running.post(
        "/v1/route/batch", {"requests": [{"prompt": "solve the equation"}, {"prompt": "a", "candidates": ["nobody"]}]}
    ).json()
    implicit = running.worker.services.implicit
    now = implicit._monotonic
    implicit._monotonic = lambda: now() + 5.0  # a person has read the answer by then
    again = running.post("/v1/route", {"prompt": "python loop 0", "user_id": "ann", "session_id": "s"}).json()
    reports = [
        {"request_id": told["request_id"], "status": "ok", "served_model": told["model"], "cost_usd": 0.1},
        {"request_id": failed["request_id"], "status": "error", "error_kind": "provider"},
    ]
    assert running.post("/v1/outcomes", reports).status_code == 200
    assert running.post("/v1/feedback", {"request_id": told["request_id"], "thumbs": "up"}).status_code == 200
    learnt = Learnt(running, tmp_path)
    assert learnt.of(told["request_id"]) == (told["model"], told["model"], False, 1.0)
    assert learnt.of(failed["request_id"]) == (failed["model"], None, True, None)
    for answer in (untold, batch["decisions"][0], again):
        assert learnt.of(answer["request_id"]) == (answer["model"], None, False, None)
    (refused,) = [row for row in learnt.rows.values() if row["status"] == "rejected"]
    assert (refused["chosen_model"], refused["error_kind"], refused["prompt"]) == (None, "invalid_request", "a")
    assert learnt.summary.n_signals == 1


def test_what_the_gateway_answers(api, provider, tmp_path):
    running = api()
    first, answered = chat(running)
    chosen = first.headers["x-beast-model"]
    insisted, named = chat(running, model="medium")
    _, streamed = chat(running, stream=True)
    provider.fail("unavailable", model=chosen)
    second, fallen = chat(running)
    provider.fail("content_filter")
    third, failed = chat(running)
    assert third.status_code == 400
    assert "x-beast-fallback" not in first.headers
    assert (second.headers["x-beast-fallback"], second.headers["x-beast-chosen-model"]) == ("true", chosen)
    assert "x-beast-chosen-model" not in insisted.headers
    assert running.post("/v1/feedback", {"request_id": fallen, "quality": 0.25}).status_code == 200
    learnt = Learnt(running, tmp_path)
    assert learnt.of(answered) == (chosen, chosen, False, None)
    assert learnt.of(named) == ("medium", "medium", False, None)
    assert learnt.of(streamed)[2] is False
    row = learnt.rows[fallen]
    assert (row["chosen_model"], row["served_model"]) == (chosen, second.headers["x-beast-model"])
    assert float(second.headers["x-beast-propensity"]) == pytest.approx(row["propensity"])
    assert float(second.headers["x-beast-predicted-cost-usd"]) == pytest.approx(row["predicted_cost_usd"])
    assert learnt.of(fallen) == (chosen, second.headers["x-beast-model"], True, 0.25)
    assert learnt.of(failed)[1:] == (None, True, None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["beast", "medium"])
def test_what_nobody_waited_for(api, provider, tmp_path, model, stream):
    running = api()
    provider.app.script = ProviderScript(
        outcomes={"*": (Outcome(latency_s=60.0, ttft_s=0.01, output_tokens=400),)},
    )
    services = running.worker.services
    request_id = services.ids.issue("default")

    async def hang_up():
        opened = asyncio.Event()

        async def write(data, last):
            opened.set()

        async def whole():
            asked = decode_chat(json.dumps({**ask(stream=stream), "model": model}).encode())
            answer = await services.gateway.answer(asked, "default", request_id)
            await answer.relay(write)

        n_before = len(provider.calls)
        task = asyncio.create_task(whole())
        while not (opened.is_set() if stream else len(provider.calls) > n_before):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    running.client.portal.call(hang_up)
    learnt = Learnt(running, tmp_path)
    assert learnt.rows[request_id]["status"] == "cancelled"
    chosen, served, failed, quality = learnt.of(request_id)
    assert chosen == (model if model != "beast" else learnt.rows[request_id]["chosen_model"])
    assert (served, failed, quality) == (None, False, None)
    assert learnt.summary.n_signals == (1 if stream and model == "beast" else 0)


def test_what_the_gateway_refuses(api, tmp_path):
    running = api(requests_per_s=0.001)
    bursts = [chat(running, model="small") for _ in range(40)]
    unknown, unknown_id = chat(running, model="gpt-7", text="who are you")
    learnt = Learnt(running, tmp_path)
    limited = [name for answer, name in bursts if answer.status_code == 429]
    assert unknown.status_code in (404, 429)
    assert limited
    for name in (*limited, unknown_id):
        row = learnt.rows[name]
        assert (row["status"], row["chosen_model"], row["propensity"]) == ("rejected", None, None)
        assert row["prompt"]
        assert not learnt.holds(name)


def test_an_unknown_model_and_a_server_that_only_decides(api, tmp_path):
    running = api()
    answer, name = chat(running, model="gpt-7")
    learnt = Learnt(running, tmp_path / "first")
    assert answer.status_code == 404
    row = learnt.rows[name]
    assert (row["status"], row["error_kind"], row["chosen_model"]) == ("rejected", "invalid_request", None)


def test_a_server_that_only_decides_has_refused_chats_on_record(api, tmp_path):
    running = api(endpoints=())
    answer, name = chat(running)
    assert answer.status_code == 503
    row = Learnt(running, tmp_path).rows[name]
    assert (row["status"], row["error_kind"]) == ("rejected", "no_candidate")
    assert row["prompt"] == ask()["messages"][0]["content"]


def test_what_a_budget_refuses(api, tmp_path):
    rule = BudgetRule(scope="global", limit_nano=1000, key="*", period="day")
    running = api(budgets=(rule,))
    answers = [chat(running), chat(running, model="large"), chat(running, stream=True)]
    routed = running.post("/v1/route", {"prompt": "python loop"})
    assert [answer.status_code for answer, _ in answers] == [402, 402, 402]
    assert counted(running, "decisions") == {}
    assert counted(running, "log_rows") == {"requests": 4.0}
    assert counted(running, "refusals") == {"budget": 4.0}
    learnt = Learnt(running, tmp_path)
    for _, name in answers:
        row = learnt.rows[name]
        assert (row["status"], row["error_kind"], row["chosen_model"]) == ("rejected", "budget", None)
        assert not learnt.holds(name)
    assert routed.status_code == 402
    assert len(learnt.rows) == 4


def test_the_choice_on_record_is_of_a_model_that_was_called(api, provider, tmp_path):
    running = api()
    first, _ = chat(running)
    chosen = first.headers["x-beast-model"]
    # Its endpoint goes out after the decision: the mask does not know yet.
    fleet = running.worker.services.health
    before = fleet.pick
    fleet.pick = lambda model, exclude=frozenset(): None if model == chosen else before(model, exclude)
    second, name = chat(running)
    other = second.headers["x-beast-model"]
    assert other != chosen
    assert counted(running, "decisions") == {chosen: 1.0, other: 1.0}
    assert counted(running, "log_rows") == {"requests": 2.0}
    _, asked = chat(running, beast={"candidates": [other]})
    learnt = Learnt(running, tmp_path)
    assert dict(learnt.rows[asked]["context"])["asked_for"] == other
    assert learnt.of(name) == (other, other, False, None)
    row = learnt.rows[name]
    assert chosen not in row["candidates"]
    assert "asked_for" not in dict(row["context"] or ())  # the client left the choice to us
    assert float(second.headers["x-beast-propensity"]) == pytest.approx(row["propensity"])
    assert float(second.headers["x-beast-predicted-cost-usd"]) == pytest.approx(row["predicted_cost_usd"])
