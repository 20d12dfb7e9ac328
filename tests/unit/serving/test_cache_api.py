"""Look up, store, invalidate over HTTP: a tenant's answers are its own, and what is invalid never comes back."""

import pytest

from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig

QUESTION = {"prompt": "What is the capital of France, and why is it there?"}
ANSWER = {"text": "Paris, for the river.", "choices": [1, 2.5]}


@pytest.fixture
def api(serving, tmp_path):
    return serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"))


def look(api, question=QUESTION, key=None):
    answer = api.post("/v1/cache/lookup", question, key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def store(api, key=None, **more):
    body = {"request": QUESTION, "answer": ANSWER, "model": "mine", "tags": ["prices"], **more}
    answer = api.post("/v1/cache/store", body, key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_stored_is_found(api):
    missed = look(api)
    assert missed["result"] == "miss"
    kept = store(api, stamp=missed["stamp"], cost_usd=0.01)
    found = look(api)
    assert (found["result"], found["kind"], found["tier"], found["similarity"]) == ("hit", "exact", "memory", 1.0)
    assert (found["answer"], found["model"], found["entry_id"]) == (ANSWER, "mine", kept["entry_id"])
    loose = look(api, {"messages": [{"role": "user", "content": QUESTION["prompt"].replace(" ", "  ")}]})
    assert (loose["result"], loose["kind"]) == ("hit", "normalised")
    assert look(api, {**QUESTION, "model": "another"})["result"] == "miss"


def test_nobody_else_on_the_host_reads_what_is_kept(api):
    store(api)
    files = list(api.state.glob("cache.db*"))
    assert files
    assert not [file.name for file in files if file.stat().st_mode & 0o077]


def test_requests_that_are_none_for_a_cache_are_not_kept(api):
    question = {"prompt": "Where is my order, and when will it come?"}
    assert (look(api, question)["result"], look(api, question)["reasons"]) == ("bypass", ["personal", "time_bound"])
    assert store(api, request=question) == {"kept": False, "entry_id": None, "reasons": ["personal", "time_bound"]}


@pytest.mark.parametrize(
    "scope", [{"tags": ["prices"]}, {"models": ["mine"]}, {"policy_versions": ["v1"]}, {"everything": True}, "entry"]
)
def test_what_is_invalidated_is_not_found(api, scope):
    kept = store(api, policy_version="v1")
    scope = {"entry_ids": [kept["entry_id"]]} if scope == "entry" else scope
    assert api.post("/v1/cache/invalidate", scope).json() == {"scopes": 1}
    assert look(api)["result"] == "miss"
    store(api)
    assert look(api)["result"] == "hit"


def test_an_answer_that_was_invalidated_while_it_was_made_is_not_kept(api):
    stamp = look(api)["stamp"]
    api.post("/v1/cache/invalidate", {"tags": ["prices"]})
    assert store(api, stamp=stamp)["kept"] is False
    assert (
        api.post("/v1/cache/store", {"request": QUESTION, "answer": 1, "model": "m", "stamp": "9" * 20}).status_code
        == 422
    )


def test_a_false_hit_is_reported_once_and_never_returns(api):
    kept = store(api)
    loose = {"prompt": f"  {QUESTION['prompt'].replace(' ', '  ')}"}
    assert look(api, loose)["result"] == "hit"
    report = {"false_hit": {"entry_id": kept["entry_id"], "request": loose}}
    assert api.post("/v1/cache/invalidate", report).json() == {"scopes": 1}
    assert look(api, loose)["result"] == "miss"
    store(api)
    assert (look(api, loose)["result"], look(api)["result"]) == ("miss", "hit")


def test_a_false_hit_whose_entry_is_gone_is_reported_all_the_same(api):
    loose = {"prompt": f"  {QUESTION['prompt'].replace(' ', '  ')}"}
    report = {"false_hit": {"entry_id": "expired", "request": loose}}
    assert api.post("/v1/cache/invalidate", report).json() == {"scopes": 1, "none_alike": True}
    store(api)
    assert (look(api, loose)["result"], look(api)["result"]) == ("miss", "hit")
    store(api, request=loose)
    assert look(api, loose)["kind"] == "exact"  # its own answer


def test_a_report_of_a_tenant_whose_prompts_are_not_kept_leaves_nothing_to_try_prompts_against(serving, tmp_path):
    api = serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"), prompts="hash")
    kept = store(api)
    loose = {"prompt": f"  {QUESTION['prompt'].replace(' ', '  ')}"}
    assert look(api, loose)["result"] == "hit"
    api.post("/v1/cache/invalidate", {"false_hit": {"entry_id": kept["entry_id"], "request": loose}})
    assert (look(api, loose)["result"], look(api)["result"]) == ("miss", "hit")
    ((_, ban),) = api.worker.services.cache.cache.invalidator.table.record().bans.values()
    assert [name[:1] for name in (*ban.query, *ban.source)] == [b"x", b"x"]  # keyed, and of no text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "nothing to invalidate"),
        ({"entry_ids": ["unknown"]}, "no entry 'unknown' of yours"),
        ({"false_hit": {"entry_id": "unknown"}}, "exactly one of `request` and `chat`"),
    ],
)
def test_what_cannot_be_invalidated_is_said(api, body, said):
    answer = api.post("/v1/cache/invalidate", body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_tenants_have_nothing_to_do_with_each_other(serving, tmp_path):
    keys = KeyStore.open(tmp_path / "state", None)
    ours, theirs = keys.create("acme"), keys.create("rival")
    api = serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"))
    kept = store(api, ours)
    assert look(api, key=theirs)["result"] == "miss"
    assert api.post("/v1/cache/invalidate", {"entry_ids": [kept["entry_id"]]}, theirs).status_code == 422
    for scope in ({"tags": ["prices"]}, {"models": ["mine"]}, {"everything": True}):
        assert api.post("/v1/cache/invalidate", scope, theirs).status_code == 200
    assert look(api, key=ours)["result"] == "hit"


def test_a_server_without_a_cache_says_so(serving):
    answer = serving().post("/v1/cache/lookup", QUESTION)
    assert answer.status_code == 422
    assert "cache.enabled" in answer.json()["detail"]
