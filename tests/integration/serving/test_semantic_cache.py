"""A worker with the process of the semantic cache beside it: who gets whose answer, and who does not."""

import tempfile
import time
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from beast_ml.bundle.write import with_cache
from beast_ml.cache.neighbours.command import Promise, neighbour_arguments
from beast_ml.experiments.definitions import Experiment, Variant, VariantCache
from beast_ml.experiments.experiments_file import Experiments, write_experiments
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.serving.answer_cache.trained import TrainedCaches
from beast_ml.serving.chores import ChildCommand, HostChores

pytestmark = pytest.mark.slow

WITHIN_S = 30.0
QUESTION, ALIKE, OPPOSITE = "how do I bake bread?", "what does it take to bake bread?", "is it hard to bake bread?"


@pytest.fixture(scope="module")
def bundle(router_folder, verified_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "cached"
    with_cache(router_folder, verified_cache, folder)
    return folder


@pytest.fixture
def state():
    with tempfile.TemporaryDirectory(prefix="beast-") as folder:  # pytest's own are too deep for a socket
        yield Path(folder)


@pytest.fixture
def alike(state, serve, bundle):  # in this order: the folder goes when the server has gone
    """Return a function that serves with the semantic cache."""

    def start(judge=None, audit_share=1.0, with_process=True, state=state, cache=None, **changed):
        promise = Promise(0.04, 0.05, audit_share)
        config = AnswerCacheConfig(b"sixteen bytes of it", state, semantic=promise, judge=judge, **(cache or {}))
        near = ChildCommand("neighbours", neighbour_arguments(TrainedCaches(state).current, state, promise))
        chores = HostChores(state / "leader.lock", (near,) if with_process else ())
        return serve(router=str(bundle), state=state, cache=config, chores=chores, **changed)

    return start


def ask(client, content, **more):
    """Return the answer's text and the headers."""
    raw = client.chat.completions.with_raw_response.create(
        model="beast", messages=[{"role": "user", "content": content}], **more
    )
    return raw.parse().choices[0].message.content, raw.headers


def metric(gateway, name):
    """Return the sum of a metric's samples that begin like this."""
    text = httpx2.get(gateway.url.replace("/v1", "/metrics"), headers={"authorization": "Bearer admin"}).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def until(holds):
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.1)


def vectors(url):
    """Return how many vectors are in a database."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        there = connection.scalar(sa.text("SELECT to_regclass('cache_vectors_384')"))
        n = connection.scalar(sa.text("SELECT count(*) FROM cache_vectors_384")) if there else 0
    engine.dispose()
    return n


def indexed(gateway, n=1):
    """Wait until so many entries can be found."""
    until(lambda: metric(gateway, 'beast_cache_index_entries{is="found"}') >= n)


def test_alike_requests_get_the_answer_and_others_do_not(alike, provider):
    gateway = alike()
    before = len(provider.calls)
    with gateway.client() as client:
        first, _ = ask(client, QUESTION)
        indexed(gateway)
        second, told = ask(client, ALIKE)
        _, other = ask(client, OPPOSITE)
        streamed = list(
            client.chat.completions.create(model="beast", stream=True, messages=[{"role": "user", "content": ALIKE}])
        )
    assert second == first
    assert (told["x-beast-cache"], told["x-beast-cache-kind"]) == ("hit", "semantic")
    assert told["x-beast-cache-tier"] == "memory"
    assert 0.5 < float(told["x-beast-cache-similarity"]) < 1.0
    assert other["x-beast-cache"] == "miss"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == first
    assert len(provider.calls) == before + 2
    rows = gateway.rows()
    assert [row["cache_result"] for row in rows] == ["miss", "semantic", "miss", "semantic"]
    assert rows[1]["cache_similarity"] == pytest.approx(float(told["x-beast-cache-similarity"]), abs=1e-5)
    assert rows[1]["context"]["cache_kind"] == "semantic"


def test_a_question_about_an_answer_is_not_answered_from_a_conversation_with_another_answer(alike):
    gateway = alike()

    def asked(answer):
        told = [("user", QUESTION), ("assistant", answer), ("user", "how many steps does the recipe have?")]
        messages = [{"role": role, "content": text} for role, text in told]
        return client.chat.completions.with_raw_response.create(model="beast", messages=messages).headers

    with gateway.client() as client:
        asked("First mix, then knead, then bake.")
        indexed(gateway)
        other = asked("First mix, then knead, rest, fold, rest, bake.")
    assert other["x-beast-cache"] == "miss"


def test_within_a_conversation_that_heard_the_same_alike_requests_hit(alike):
    gateway = alike()

    def asked(question, answer="Hello, what would you like to know?"):
        told = [("user", "hello"), ("assistant", answer), ("user", question)]
        messages = [{"role": role, "content": text} for role, text in told]
        return client.chat.completions.with_raw_response.create(model="beast", messages=messages).headers

    with gateway.client() as client:
        asked(QUESTION)
        indexed(gateway)
        same, other = asked(ALIKE), asked(ALIKE, "Hello, I know all about cars.")
    assert (same["x-beast-cache"], other["x-beast-cache"]) == ("hit", "miss")


def test_a_false_hit_that_was_reported_never_returns(alike):
    gateway = alike()
    report = gateway.url + "/cache/invalidate"
    with gateway.client() as client:
        first, _ = ask(client, QUESTION)
        indexed(gateway)
        _, told = ask(client, ALIKE)
        body = {"model": "beast", "messages": [{"role": "user", "content": ALIKE}]}
        said = httpx2.post(
            report, json={"false_hit": {"entry_id": told["x-beast-cache-entry"], "chat": body}}, timeout=10
        )
        assert said.status_code == 200, said.text
        _, again = ask(client, ALIKE)
        _, near = ask(client, "What does it take to bake bread, please?")
        same, equal = ask(client, QUESTION)
    assert again["x-beast-cache"] == "miss"
    assert near.get("x-beast-cache-entry") != told["x-beast-cache-entry"]
    assert (equal["x-beast-cache"], same) == ("hit", first)


def test_a_neighbourhood_is_asked_anew(alike):
    gateway = alike()
    asked = {"model": "beast", "messages": [{"role": "user", "content": ALIKE}]}
    with gateway.client() as client:
        ask(client, QUESTION)
        _, far = ask(client, "who was the first king of Portugal?")
        indexed(gateway, 2)
        said = httpx2.post(gateway.url + "/cache/invalidate", json={"near": {"chat": asked, "radius": 0.3}}, timeout=10)
        assert said.status_code == 200, said.text
        _, equal = ask(client, QUESTION)
        _, far = ask(client, "who was the first king of Portugal?")
        assert (equal["x-beast-cache"], far["x-beast-cache"]) == ("miss", "hit")
        until(lambda: ask(client, ALIKE)[1]["x-beast-cache"] == "hit")  # what was made since may be served


def test_a_neighbourhood_is_asked_anew_in_all_variants_of_an_experiment(alike, state):
    halves = tuple(Variant(name=name, policy="champion", share=0.5) for name in ("control", "other"))
    write_experiments(state / "experiments.json", Experiments(experiments=(Experiment(id="same", variants=halves),)))
    gateway = alike()
    users = [{"beast": {"user_id": f"user {n}"}} for n in range(8)]
    asked = {"model": "beast", "messages": [{"role": "user", "content": QUESTION}]}
    with gateway.client() as client:
        first = [ask(client, QUESTION, extra_body=user)[1]["x-beast-cache"] for user in users]
        assert first.count("miss") == 2  # one of each variant
        indexed(gateway, 2)
        said = httpx2.post(gateway.url + "/cache/invalidate", json={"near": {"chat": asked}}, timeout=10)
        assert said.status_code == 200, said.text
        again = [ask(client, QUESTION, extra_body=user)[1]["x-beast-cache"] for user in users]
    assert again.count("miss") == 2


def test_a_variant_may_be_answered_by_equal_requests_only(alike, state):
    variants = tuple(
        Variant(name=name, policy="champion", share=0.5, cache=cache)
        for name, cache in (("control", None), ("equal", VariantCache(hits="equal")))
    )
    write_experiments(state / "experiments.json", Experiments(experiments=(Experiment(id="same", variants=variants),)))
    gateway = alike()
    users = [{"beast": {"user_id": f"user {n}"}} for n in range(8)]
    with gateway.client() as client:
        for content in (QUESTION, ALIKE):
            for user in users:
                ask(client, content, extra_body=user)
            indexed(gateway, 2)
    of = {"control": [], "equal": []}
    for row in gateway.rows()[len(users) :]:
        of[row["variant"]].append(row["cache_result"])
    assert set(of["control"]) == {"semantic"}
    assert of["equal"] == ["miss"] + ["exact"] * (len(of["equal"]) - 1)


def test_stats_tell_of_alike_requests(alike):
    gateway = alike()
    with gateway.client() as client:
        ask(client, QUESTION)
        indexed(gateway)
        ask(client, ALIKE)
    told = httpx2.get(gateway.url + "/cache/stats", headers={"authorization": "Bearer admin"}).json()
    assert told["hits"] == {"semantic": 1}
    assert told["semantic"]["entries"] == 1
    assert 0.0 < told["semantic"]["threshold"] < 1.0


def test_tenants_do_not_share_answers(alike, state):
    store = KeyStore.open(state, None)
    keys = {tenant: store.create(tenant) for tenant in ("acme", "globex")}
    store.close()
    gateway = alike()
    with gateway.client(keys["acme"]) as client:
        ask(client, QUESTION)
        indexed(gateway)
    with gateway.client(keys["globex"]) as client:
        _, told = ask(client, ALIKE)
    assert told["x-beast-cache"] == "miss"
    with gateway.client(keys["acme"]) as client:
        _, told = ask(client, ALIKE)
    assert told["x-beast-cache"] == "hit"


def test_a_text_that_is_not_to_be_kept_is_compared_with_none(alike):
    gateway = alike(prompts="hash")
    with gateway.client() as client:
        ask(client, QUESTION)
        _, told = ask(client, ALIKE)
        _, equal = ask(client, QUESTION)
    assert (told["x-beast-cache"], equal["x-beast-cache"]) == ("miss", "hit")
    admin = {"authorization": "Bearer admin"}
    until(lambda: httpx2.get(gateway.url + "/cache/stats", headers=admin).json()["semantic"] is not None)
    assert httpx2.get(gateway.url + "/cache/stats", headers=admin).json()["semantic"]["lookups"] == 0


def test_lookups_that_are_picked_are_verified_by_a_new_answer(alike, provider):
    gateway = alike(judge="equal")
    before = len(provider.calls)
    with gateway.client() as client:
        ask(client, QUESTION)
        indexed(gateway)
        _, told = ask(client, ALIKE)
    assert told["x-beast-cache"] == "miss"  # every hit is picked
    assert len(provider.calls) == before + 2
    until(lambda: metric(gateway, "beast_cache_audits_total") == 1)


def test_a_model_may_judge_and_its_calls_are_no_clients(alike, provider):
    gateway = alike(judge="small")
    with gateway.client() as client:
        ask(client, QUESTION)
        indexed(gateway)
        ask(client, ALIKE)
    until(
        lambda: metric(gateway, 'beast_cache_audits_total{kind="semantic",verdict="unknown"}') == 1
    )  # it answers neither yes nor no
    assert [row.get("app") for row in gateway.rows()] == [None, None, "cache-audit"]
    assert "two answers" in provider.calls[-1].body["messages"][0]["content"]


def test_a_model_that_a_client_has_not_allowed_judges_none_of_its_texts(alike, provider):
    gateway = alike(judge="small", cache={"age_share": 1.0})
    before = len(provider.calls)
    with gateway.client() as client:
        for content in (QUESTION, QUESTION):
            ask(client, content, extra_body={"beast": {"candidates": ["large"]}})
        indexed(gateway)
        _, told = ask(client, ALIKE, extra_body={"beast": {"candidates": ["large"]}})
    assert told["x-beast-cache"] == "hit"
    assert [call.body["model"] for call in provider.calls[before:]] == ["large"]
    assert metric(gateway, "beast_cache_audits_total") == 0


def test_without_the_process_equal_requests_hit_and_alike_ones_miss(alike):
    gateway = alike(with_process=False)
    with gateway.client() as client:
        first, _ = ask(client, QUESTION)
        second, told = ask(client, QUESTION)
        _, other = ask(client, ALIKE)
    assert (second, told["x-beast-cache"]) == (first, "hit")
    assert other["x-beast-cache"] == "miss"


def test_what_was_kept_is_found_after_a_restart(alike):
    gateway = alike()
    with gateway.client() as client:
        first, _ = ask(client, QUESTION)
    gateway.stop()
    (gateway.state / "near.index").unlink(missing_ok=True)
    again = alike()
    indexed(again)
    with again.client() as client:
        second, told = ask(client, ALIKE)
    assert (second, told["x-beast-cache-kind"]) == (first, "semantic")


def test_lookups_of_clients_that_call_models_themselves(alike):
    gateway = alike()
    cache = gateway.url + "/cache"
    stored = httpx2.post(cache + "/store", json={"request": {"prompt": QUESTION}, "answer": "so", "model": "mine"})
    assert stored.json()["kept"]
    indexed(gateway)
    found = httpx2.post(cache + "/lookup", json={"prompt": ALIKE}).json()
    assert (found["result"], found["kind"], found["answer"]) == ("hit", "semantic", "so")
    assert httpx2.post(cache + "/lookup", json={"prompt": OPPOSITE}).json()["result"] == "miss"


def test_hosts_that_share_vectors_find_each_others_entries_at_once(alike, state, postgres_url):
    shared = {"database_url": postgres_url, "shared_vectors": True}
    one = alike(cache=shared)
    with tempfile.TemporaryDirectory(prefix="beast-") as folder:
        other = alike(cache=shared, state=Path(folder))
        with one.client() as client:
            first, _ = ask(client, QUESTION)
        with other.client() as client:
            until(lambda: vectors(postgres_url) == 1)
            until(lambda: metric(other, "beast_cache_process_up") == 1)
            ask(client, "who was the first king of Portugal?")  # the encoder's first text takes longest
            second, told = ask(client, ALIKE)
            _, opposite = ask(client, OPPOSITE)
        other.stop()
    assert (second, told["x-beast-cache"], told["x-beast-cache-kind"]) == (first, "hit", "semantic")
    assert opposite["x-beast-cache"] == "miss"
