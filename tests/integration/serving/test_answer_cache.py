"""OpenAI's own client, unchanged, against a worker with a cache: what a hit is, and when there is none."""

import json
import threading
import time
from collections import deque

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.experiments.definitions import Experiment, Variant, VariantCache
from beast_ml.experiments.experiments_file import Experiments, write_experiments
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig, Lives
from beast_ml.testing.cached_chats import ASK, OTHER, create
from beast_ml.testing.fake_provider import Outcome, ProviderScript
from beast_ml.testing.gateway_fixtures import MODELS


@pytest.fixture
def cached(serve, tmp_path):
    """Return a function that serves with a cache."""

    def start(lives=None, **changed):
        config = AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state", lives=lives or Lives())
        return serve(cache=config, **changed)

    return start


def told_by_variant(gateway):
    """Return what the cache made of the requests of each variant, in the order in which they came."""
    found = {}
    for row in gateway.rows():
        found.setdefault(row["variant"], []).append(row["cache_result"])
    return found


def test_each_variant_of_an_experiment_uses_the_cache_as_it_is_told(cached, tmp_path):
    caches = {"control": None, "fresh": VariantCache(hits="none"), "young": VariantCache(max_age_s=1e-6)}
    variants = tuple(Variant(name=name, policy="champion", share=1 / 3, cache=cache) for name, cache in caches.items())
    experiments = Experiments(experiments=(Experiment(id="caches", variants=variants),))
    write_experiments(tmp_path / "state" / "experiments.json", experiments)
    gateway = cached()
    with gateway.client() as client:
        reasons = {
            create(client, extra_body={"beast": {"user_id": f"user {n}"}})[1].get("x-beast-cache-reason")
            for n in range(24)
        }
    assert reasons == {None, "variant"}
    told = told_by_variant(gateway)
    assert told["control"] == ["miss"] + ["exact"] * (len(told["control"]) - 1)
    assert set(told["fresh"]) == {"bypass"}
    assert set(told["young"]) == {"miss"}


def streamed(client, messages=ASK, **more):
    """Return the chunks of a stream, and its headers."""
    raw = client.chat.completions.with_raw_response.create(model="beast", messages=messages, stream=True, **more)
    return list(raw.parse()), raw.headers


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_the_same_request_is_answered_once(cached, provider):
    gateway = cached()
    before = len(provider.calls)
    with gateway.client() as client:
        first, said = create(client)
        second, told = create(client)
    assert second == first
    assert len(provider.calls) == before + 1
    assert said["x-beast-cache"] == "miss"
    assert {name: told[name] for name in told if name.startswith("x-beast-cache-") and "age" not in name} == {
        "x-beast-cache-kind": "exact",
        "x-beast-cache-tier": "memory",
        "x-beast-cache-similarity": "1",
        "x-beast-cache-entry": told["x-beast-cache-entry"],
    }
    assert (told["x-beast-cache"], told["x-beast-model"], told["x-beast-cost-usd"]) == ("hit", first.model, "0")
    assert int(told["x-beast-cache-age-s"]) <= 60
    miss, hit = gateway.rows()
    assert (miss["cache_result"], miss["chosen_model"]) == ("miss", first.model)
    assert (hit["cache_result"], hit["cache_tier"], hit["cache_similarity"]) == ("exact", "memory", 1.0)
    assert (hit["status"], hit["cost_usd"], hit["request_id"]) == ("ok", 0.0, told["x-beast-request-id"])
    assert hit["context"]["cache_entry"] == told["x-beast-cache-entry"]
    assert not {"chosen_model", "propensity", "served_model", "predicted_quality"} & hit.keys()


def test_a_stream_is_replayed_and_a_stream_is_kept(cached, provider):
    gateway = cached()
    before = len(provider.calls)
    with gateway.client() as client:
        whole, _ = create(client)
        chunks, told = streamed(client, stream_options={"include_usage": True})
        plain, _ = streamed(client)
        made, said = streamed(client, OTHER)
        again, _ = streamed(client, OTHER)
        gathered, gathered_told = create(client, OTHER)
    assert len(provider.calls) == before + 2
    assert (told["x-beast-cache"], told["content-type"]) == ("hit", "text/event-stream; charset=utf-8")
    assert text_of(chunks) == text_of(plain) == whole.choices[0].message.content
    assert (chunks[-1].usage, chunks[-1].choices) == (whole.usage, [])
    assert all(chunk.choices and chunk.usage is None for chunk in plain)
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {(whole.id, whole.model, whole.created)}
    assert [chunk.choices[0].finish_reason for chunk in plain][-1] == "stop"
    assert (said["x-beast-cache"], gathered_told["x-beast-cache"]) == ("miss", "hit")
    assert text_of(made) == text_of(again) == gathered.choices[0].message.content
    assert (gathered.id, gathered.model, gathered.usage.completion_tokens) == (made[0].id, made[0].model, 16)


def test_what_differs_only_in_its_form_is_a_normalised_hit(cached):
    gateway = cached()
    with gateway.client() as client:
        first, _ = create(client)
        said = ASK[0]["content"]
        second, told = create(client, [{"role": "user", "content": f"  {said.replace(' ', '  ')} "}])
    assert second == first
    assert told["x-beast-cache-kind"] == "normalised"
    assert "x-beast-cache-similarity" not in told


def test_another_worker_finds_what_was_kept(cached, provider):
    first_worker = cached()
    with first_worker.client() as client:
        first, _ = create(client)
    first_worker.stop()
    second_worker = cached()
    before = len(provider.calls)
    with second_worker.client() as client:
        second, told = create(client)
    assert second == first
    assert told["x-beast-cache-tier"] in ("memory", "sql")  # which the second filled its memory from as it started
    assert len(provider.calls) == before


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"temperature": 1.5}, "temperature"),
        ({"n": 2}, "several_answers"),
        ({"messages": [{"role": "user", "content": "Where is my order, and when will it come?"}]}, "personal"),
        ({"messages": [{"role": "user", "content": "What is the weather today in the city of Paris?"}]}, "time_bound"),
        ({"extra_headers": {"cache-control": "no-store"}}, "no_store"),
        ({"extra_headers": {"cache-control": "no-cache"}}, "no_cache"),
    ],
)
def test_requests_that_are_none_for_a_cache_bypass_it(cached, provider, more, reason):
    gateway = cached()
    before = len(provider.calls)
    with gateway.client() as client:
        for _ in range(2):
            _, told = create(client, **more)
            assert told["x-beast-cache"] == "bypass"
            assert reason in told["x-beast-cache-reason"].split(",")
    assert len(provider.calls) == before + 2
    assert [row["cache_result"] for row in gateway.rows()] == ["bypass"] * 2


def test_no_cache_renews_and_no_store_leaves_nothing(cached, provider):
    provider.app.script = ProviderScript(
        outcomes={"*": (Outcome(text="the first"), Outcome(text="the second"))}, api_key="provider-key"
    )
    gateway = cached()
    with gateway.client() as client:
        pinned = {"extra_body": {"beast": {"candidates": ["small"]}}}
        _, told = create(client, extra_headers={"cache-control": "no-store"}, **pinned)
        first, missed = create(client, **pinned)
        renewed, _ = create(client, extra_headers={"cache-control": "max-age=0"}, **pinned)
        last, hit = create(client, **pinned)
    assert (told["x-beast-cache"], missed["x-beast-cache"], hit["x-beast-cache"]) == ("bypass", "miss", "hit")
    assert first.choices[0].message.content != renewed.choices[0].message.content == last.choices[0].message.content


def test_what_was_cut_short_or_broke_is_not_kept(cached, provider):
    gateway = cached()
    with gateway.client() as client:
        for _ in range(2):  # the fake provider says `length` where it is told to stop early
            _, told = create(client, max_tokens=3)
            assert told["x-beast-cache"] == "miss"
        provider.fail("stream_error")
        for _ in range(2):
            with pytest.raises(openai.APIError):
                streamed(client, OTHER)
        provider.heal()
        time.sleep(2.5)  # until the breakers let a trial through
        _, told = streamed(client, OTHER)
        assert told["x-beast-cache"] == "miss"


def test_a_client_that_hangs_up_leaves_nothing(cached, provider):
    slow = Outcome(latency_s=30.0, ttft_s=0.01, output_tokens=400)
    provider.app.script = ProviderScript(outcomes={"*": (slow,)}, api_key="provider-key")
    gateway = cached()
    with gateway.client() as client:
        stream = client.chat.completions.create(model="beast", messages=ASK, stream=True)
        next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 20
        while not gateway.rows():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        provider.app.script = ProviderScript(api_key="provider-key")
        _, told = create(client)
    assert told["x-beast-cache"] == "miss"


def test_a_refused_request_is_refused_again_without_a_call(cached, provider):
    provider.fail("content_filter")
    gateway = cached()
    with gateway.client() as client:
        with pytest.raises(openai.BadRequestError) as first:
            create(client)
        before = len(provider.calls)
        with pytest.raises(openai.BadRequestError) as second:
            create(client)
    assert len(provider.calls) == before
    assert first.value.response.headers["x-beast-cache"] == "miss"
    assert second.value.response.headers["x-beast-cache"] == "hit"
    assert second.value.code == first.value.code == "content_filter"
    hit = gateway.rows()[-1]
    assert (hit["status"], hit["error_kind"], hit["cache_result"]) == ("error", "content_filter", "exact")


def test_an_error_of_the_provider_is_not_kept(cached, provider):
    provider.fail("server_error")
    gateway = cached()
    with gateway.client() as client:
        with pytest.raises(openai.APIStatusError):
            create(client)
        with pytest.raises(openai.APIStatusError) as second:
            create(client)
    assert second.value.response.headers["x-beast-cache"] == "miss"


def test_a_name_that_stands_twice_poisons_nothing(cached, provider):
    gateway = cached()
    evil = (
        b'{"model": "beast", "messages": [{"role": "user", "content": "How do I make a bad answer to keep?", '
        b'"content": %s}]}' % json.dumps(ASK[0]["content"]).encode()
    )
    for _ in range(2):
        answer = httpx2.post(f"{gateway.url}/chat/completions", content=evil)
        assert (answer.headers["x-beast-cache"], answer.headers["x-beast-cache-reason"]) == ("bypass", "repeated_name")
    with gateway.client() as client:
        _, told = create(client)
    assert told["x-beast-cache"] == "miss"


def test_equal_requests_at_a_time_make_one_call(cached, provider):
    provider.app.script = ProviderScript(outcomes={"*": (Outcome(latency_s=1.0, ttft_s=0.9),)}, api_key="provider-key")
    gateway = cached()
    before = len(provider.calls)
    results = []

    def ask():
        with gateway.client() as client:
            results.append(create(client))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 6
    assert len(provider.calls) == before + 1
    assert sorted(told["x-beast-cache"] for _, told in results) == ["hit"] * 5 + ["miss"]
    assert len({answer.id for answer, _ in results}) == 1


def test_a_hit_needs_no_budget(cached):
    rule = BudgetRule(scope="global", limit_nano=10_000_000, key="*", period="day")
    gateway = cached(budgets=(rule,))
    with gateway.client() as client:
        _, told = create(client)
        assert told["x-beast-cache"] == "miss"
        questions = (f"What is the square of the number {n}, and why?" for n in range(2000))
        asked = ([{"role": "user", "content": question}] for question in questions)
        with pytest.raises(openai.APIStatusError) as refused:
            deque((create(client, messages) for messages in asked), maxlen=0)
        assert refused.value.code == "insufficient_quota"
        _, told = create(client)
        assert told["x-beast-cache"] == "hit"


def test_metrics_say_what_was_saved(cached):
    gateway = cached()
    with gateway.client() as client:
        create(client)
        create(client)
        create(client, temperature=1.5)
    lines = httpx2.get(f"{gateway.url[:-3]}/metrics").text.splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if line.startswith("beast_cache_") and "#" not in line)
    assert float(counts['beast_cache_hits_total{kind="exact",tier="memory"}']) == 1
    assert float(counts['beast_cache_bypasses_total{reason="temperature"}']) == 1
    assert float(counts['beast_cache_kept_total{kind="answer"}']) == 1
    assert float(counts['beast_cache_results_total{result="miss"}']) == 1
    assert float(counts["beast_cache_saved_usd_total"]) > 0
    assert float(counts["beast_cache_saved_seconds_total"]) > 0


def test_without_a_cache_nothing_is_said_of_one(serve):
    gateway = serve()
    with gateway.client() as client:
        for _ in range(2):
            _, told = create(client)
            assert not [name for name in told if name.startswith("x-beast-cache")]
    assert not any("cache_result" in row for row in gateway.rows())


def test_no_answer_crosses_tenants(cached, provider, tmp_path):
    """Whoever asks first, in whatever words: a tenant is answered with what it has paid for itself."""
    keys = KeyStore.open(tmp_path / "state", None)
    clients = {tenant: keys.create(tenant) for tenant in ("acme", "rival")}
    gateway = cached()
    questions = [f"What is the square of the number {n} in mathematics?" for n in range(4)]
    seen = {"acme": {}, "rival": {}}

    @settings(max_examples=120, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
    @given(
        st.sampled_from(["acme", "rival"]),
        st.sampled_from(questions),
        st.sampled_from(["beast", *MODELS]),
        st.booleans(),
        st.booleans(),
    )
    def exchange(tenant, question, model, loose, stream):
        said = f" {question}  " if loose else question
        body = {"model": model, "messages": [{"role": "user", "content": said}], "stream": stream}
        with httpx2.stream(
            "POST",
            f"{gateway.url}/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {clients[tenant]}"},
        ) as answer:
            text = answer.read().decode()
        assert answer.status_code == 200
        first = text.partition("data: ")[2].partition("\n")[0] if stream else text
        made = json.loads(first)["id"]
        known = seen[tenant].setdefault((question, model), set())
        assert made not in set().union(*seen["rival" if tenant == "acme" else "acme"].values())
        if answer.headers["x-beast-cache"] == "hit":
            assert made in known
        known.add(made)

    exchange()
    hits = [row for row in gateway.rows() if row["cache_result"] == "exact"]
    assert {row["tenant_id"] for row in hits} == {"acme", "rival"}
