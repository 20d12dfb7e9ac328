"""What the cache has done, as an operator asks for it."""

import time

import msgspec
import pytest

from beast_ml.benchmarks.serving.processes import free_port
from beast_ml.operations.keys.store import KeyStore
from beast_ml.serving.answer_cache.config import AnswerCacheConfig
from beast_ml.serving.cache_stats import CacheFigures
from beast_ml.serving.metrics import ServingMetrics
from beast_ml.serving.worker import METRICS_FOLDER
from beast_ml.testing.serving_fixtures import ADMIN_KEY


@pytest.fixture
def api(serving, tmp_path):
    return serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"))


def figures(api):
    answer = api.get("/v1/cache/stats", ADMIN_KEY)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=CacheFigures)


def question(n, **more):
    return {"prompt": f"What is the square of the number {n}, and why?", **more}


def test_nothing_has_happened_yet(api):
    found = figures(api)
    assert (found.lookups, found.hits, found.hit_rate, found.saved_usd) == (0, {}, None, 0.0)
    assert [(tier.tier, tier.shared, tier.usage) for tier in found.tiers] == [("memory", False, []), ("sql", True, [])]


def test_what_is_looked_up_and_kept_is_counted(serving, tmp_path):
    keys = KeyStore.open(tmp_path / "state", None)
    acme, rival = keys.create("acme"), keys.create("rival")
    api = serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state"))
    kept = {"answer": 1, "model": "m", "cost_usd": 0.25, "latency_s": 2.0}
    for n in range(3):
        assert api.post("/v1/cache/lookup", question(n), acme).json()["result"] == "miss"
        assert api.post("/v1/cache/store", {"request": question(n), **kept}, acme).json()["kept"]
    api.post("/v1/cache/store", {"request": question(0), "kind": "refusal", **kept}, rival)
    for _ in range(2):
        assert api.post("/v1/cache/lookup", question(0), acme).json()["kind"] == "exact"
    loose = {"prompt": f"  {question(1)['prompt']} "}
    assert api.post("/v1/cache/lookup", loose, acme).json()["kind"] == "normalised"
    warm = question(2, parameters={"temperature": 1.5})
    assert api.post("/v1/cache/lookup", warm, acme).json()["result"] == "bypass"

    deadline = time.monotonic() + 30.0
    while figures(api).tiers[1].written < 4:
        assert time.monotonic() < deadline
    found = figures(api)
    assert (found.lookups, found.hits, found.hit_rate) == (6, {"exact": 2, "normalised": 1}, 0.5)
    assert (found.bypassed, found.bypasses) == (1, {"temperature": 1})
    assert found.kept == {"answer": 3, "refusal": 1}
    assert (found.saved_usd, found.saved_s) == (0.75, 6.0)
    memory, sql = found.tiers
    assert memory.hits == {"exact": 2, "normalised": 1}
    assert (sql.hits, sql.written, sql.waiting, sql.dropped, sql.failures, sql.away) == ({}, 4, 0, 0, 0, False)
    for tier in (memory, sql):
        assert [(each.tenant, each.entries) for each in tier.usage] == [("acme", 3), ("rival", 1)]
        assert tier.usage[0].bytes > tier.usage[1].bytes > 0


def test_other_workers_of_the_host_are_in_it_and_decisions_without_a_look_up_are_not(api):
    assert api.post("/v1/route", {"prompt": "nobody asks the cache"}).status_code == 200
    other = ServingMetrics(api.state / METRICS_FOLDER)
    other.cache_found("exact", "exact", "sql", 0.5, 1.0)
    other.cache_result("miss")
    found = figures(api)
    other.close()
    assert (found.lookups, found.hits, found.saved_usd) == (2, {"exact": 1}, 0.5)
    assert found.tiers[1].hits == {"exact": 1}


def test_a_tier_that_is_away_is_said_to_be(serving, tmp_path):
    nobody = f"postgresql://127.0.0.1:{free_port()}/none"
    api = serving(cache=AnswerCacheConfig(b"sixteen bytes of it", tmp_path / "state", database_url=nobody))
    memory, sql = figures(api).tiers
    assert (memory.away, memory.usage) == (False, [])
    assert (sql.away, sql.usage) == (True, None)
    assert sql.failures > 0


def test_only_the_operator_may_know(api):
    assert api.get("/v1/cache/stats").status_code == 401
    assert api.get("/v1/cache/stats", "another key").status_code == 403


def test_a_server_without_a_cache_says_so(serving):
    answer = serving().get("/v1/cache/stats", ADMIN_KEY)
    assert answer.status_code == 422
    assert "cache.enabled" in answer.json()["detail"]
