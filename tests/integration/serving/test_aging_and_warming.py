"""What a cache does beside answering: it learns how answers age, and has some made before they are asked for."""

import time

import msgspec

from beast_ml.cache.warming import PlannedAnswer, WarmingPlan
from beast_ml.serving.answer_cache import warmer as warmer_module
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.serving.answer_cache.freshness import read_ages
from beast_ml.testing.cached_chats import ASK, OTHER, create


def test_a_share_of_hits_is_answered_anew_and_tells_how_answers_age(serve, tmp_path, provider):
    state = tmp_path / "state"
    config = AnswerCacheConfig(b"sixteen bytes of it", state, judge="equal", age_share=1.0)
    gateway = serve(cache=config, state=state)
    before = len(provider.calls)
    with gateway.client() as client:
        first, _ = create(client)
        second, told = create(client)
    assert len(provider.calls) == before + 2
    assert told["x-beast-cache"] == "miss"
    deadline = time.monotonic() + 10
    while not (seen := read_ages(state)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    same = first.choices[0].message.content == second.choices[0].message.content
    assert [(age.still_right, age.age_s < 60) for age in seen] == [(same, True)]


def test_where_the_new_answer_does_not_come_the_kept_one_is_served(serve, tmp_path, provider):
    state = tmp_path / "state"
    config = AnswerCacheConfig(b"sixteen bytes of it", state, judge="equal", age_share=1.0)
    gateway = serve(cache=config, state=state)
    with gateway.client() as client:
        first, _ = create(client)
        provider.fail()
        second, told = create(client)
    assert second == first
    assert (told["x-beast-cache"], told["x-beast-cache-kind"]) == ("hit", "exact")
    _, failed, hit = gateway.rows()
    assert (failed["status"], hit["status"], hit["cache_result"]) == ("error", "ok", "exact")
    assert hit["request_id"] == told["x-beast-request-id"] != failed["request_id"]


def plan_of(*texts, tenant="default"):
    """Return the arguments of a planner that says so."""
    answers = tuple(PlannedAnswer(f"key {n}", tenant, text, 0.001, 0.9, 1.0) for n, text in enumerate(texts))
    plan = WarmingPlan(1.0, answers, len(answers))
    return "-c", f"print({msgspec.json.encode(plan.to_dict()).decode()!r})"


def test_what_is_planned_is_answered_in_advance_and_asked_once(serve, tmp_path, provider, monkeypatch):
    said = ASK[0]["content"], OTHER[0]["content"]
    monkeypatch.setattr(warmer_module, "_SETTLED_S", 0.0)
    monkeypatch.setattr(warmer_module.Warmer.__init__, "__defaults__", (plan_of(*said),))
    state = tmp_path / "state"
    config = AnswerCacheConfig(b"sixteen bytes of it", state, warm_every_s=3600.0)
    before = len(provider.calls)
    gateway = serve(cache=config, state=state)
    until = time.monotonic() + 15
    while len(provider.calls) < before + 2:  # at once, for the last tier is empty
        assert time.monotonic() < until
        time.sleep(0.02)
    with gateway.client() as client:
        _, told = create(client)
        _, other = create(client, OTHER)
    assert (told["x-beast-cache"], other["x-beast-cache"]) == ("hit", "hit")
    assert len(provider.calls) == before + 2
    warmed, _, *asked = gateway.rows()
    assert warmed["session_id"].startswith("cache-warming-")
    assert all("session_id" not in row or row["session_id"] is None for row in asked)


def test_no_plan_is_said_and_nothing_else_happens(serve, tmp_path, provider, monkeypatch, caplog):
    monkeypatch.setattr(warmer_module, "_SETTLED_S", 0.0)
    failing = ("-c", "import sys; sys.exit('error: the store holds no log')")
    monkeypatch.setattr(warmer_module.Warmer.__init__, "__defaults__", (failing,))
    state = tmp_path / "state"
    gateway = serve(cache=AnswerCacheConfig(b"sixteen bytes of it", state, warm_every_s=3600.0), state=state)
    until = time.monotonic() + 15
    while "cache.not_warmed" not in caplog.text:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert "the store holds no log" in caplog.text
    with gateway.client() as client:
        assert create(client)[1]["x-beast-cache"] == "miss"
