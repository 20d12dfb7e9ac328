"""Ten thousand chats of two tenants in the same words: each is answered with what its tenant has paid for."""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.serving.app import App
from beast_ml.serving.worker import Worker
from beast_ml.testing.cached_chats import FORMS, chat, made_as, wrong

TENANTS = ("acme", "rival")
N_EXAMPLES, N_CHATS = 100, 100

CHAT = st.tuples(
    st.sampled_from(TENANTS),
    st.integers(0, 7),
    st.sampled_from(["beast", "small"]),
    st.integers(0, len(FORMS) - 1),
    st.booleans(),
    st.sampled_from([None] * 300 + ["renewed", "invalidated"]),
)


@pytest.fixture
def application(gateway_config, tmp_path):
    """Return (a runner of coroutines, a coroutine function that posts to the application as a tenant)."""
    store = KeyStore.open(tmp_path / "state", None)
    keys = {tenant: store.create(tenant).encode() for tenant in TENANTS}
    worker = Worker(gateway_config(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state")))
    app = App(worker)

    async def post(path, body, tenant, *headers):
        told = asyncio.Queue()
        told.put_nowait({"type": "http.request", "body": json.dumps(body).encode()})
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer " + keys[tenant]), *headers]
        await app({**scope, "headers": headers}, told.get, send)
        assert sent[0]["status"] == 200, sent
        return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])

    with asyncio.Runner() as runner:
        serving = worker.lifespan(None)
        runner.run(serving.__aenter__())
        yield runner, post
        runner.run(serving.__aexit__(None, None, None))


def test_no_answer_crosses_and_every_hit_is_what_it_says(application, provider):
    runner, post = application
    exact, normalised, seen = {}, {}, Counter()

    async def exchange(tenant, n, model, form, stream, event):
        if event == "invalidated":
            await post("/v1/cache/invalidate", {"everything": True}, tenant)
            for known in (exact, normalised):
                for key in [key for key in known if key[0] == tenant]:
                    del known[key]
        body = chat(tenant, n, model, form, stream=stream)
        fresh = [(b"cache-control", b"no-cache")] if event == "renewed" else []
        told, answer = await post("/v1/chat/completions", body, tenant, *fresh)
        assert wrong(provider, body, answer) is None
        made, same, alike = made_as(answer), (tenant, n, model, form), (tenant, n, model)
        found = told[b"x-beast-cache"], told.get(b"x-beast-cache-kind")
        if event == "renewed":
            assert found == (b"bypass", None)
        elif same in exact:
            assert (found, made) == ((b"hit", b"exact"), exact[same])
        elif alike in normalised:
            assert (found, made) == ((b"hit", b"normalised"), normalised[alike])
        else:
            assert found == (b"miss", None)
        if found[0] != b"hit":
            exact[same] = normalised[alike] = made
        seen[found] += 1

    async def all_of(chats):
        for each in chats:
            await exchange(*each)

    @settings(
        max_examples=N_EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
    )
    @given(st.lists(CHAT, min_size=N_CHATS, max_size=N_CHATS))
    def exchanges(chats):
        runner.run(all_of(chats))

    exchanges()
    assert seen.total() >= N_EXAMPLES * N_CHATS
    assert min(seen[b"hit", b"exact"], seen[b"hit", b"normalised"], seen[b"miss", None]) > 100


def question(n):
    return {
        "model": "beast",
        "messages": [{"role": "user", "content": f"What is the cube of the number {n} in maths?"}],
    }


def shape(told, answer):
    """Return what a client sees of an answer: its headers, what is said of the cache, and the answer's fields."""
    return sorted(told), {n: told[n] for n in told if n.startswith(b"x-beast-cache")}, sorted(json.loads(answer))


def test_nobody_can_tell_from_an_answer_what_others_have_asked(application):
    runner, post = application

    async def asked():
        await post("/v1/chat/completions", question(1), "acme")
        await post("/v1/cache/store", {"request": question(1), "answer": {"text": "1"}, "model": "small"}, "acme")
        probes = [await post("/v1/chat/completions", question(n), "rival") for n in (1, 2)]
        return probes, [json.loads((await post("/v1/cache/lookup", question(n), "rival"))[1]) for n in (1, 2)]

    (theirs, nobodys), looks = runner.run(asked())
    assert shape(*theirs) == shape(*nobodys)
    assert theirs[0][b"x-beast-cache"] == b"miss"
    assert [each["result"] for each in looks] == ["miss", "miss"]
    assert looks[0].keys() == looks[1].keys()


def test_what_a_client_stores_is_never_what_the_gateway_answers(application, provider):
    runner, post = application

    async def poisoned():
        wrong_answer = {"choices": [{"message": {"role": "assistant", "content": "buy at evil.example"}}]}
        body = {"request": question(3), "answer": wrong_answer, "model": "beast"}
        _, stored = await post("/v1/cache/store", body, "acme")
        before = len(provider.calls)
        answers = [await post("/v1/chat/completions", question(3), tenant) for tenant in TENANTS]
        return json.loads(stored), answers, len(provider.calls) - before

    stored, answers, n_calls = runner.run(poisoned())
    assert stored["kept"]
    assert n_calls == len(TENANTS)
    assert all(b"evil.example" not in answer for _, answer in answers)
