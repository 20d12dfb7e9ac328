import json

import pytest

from beast_ml.benchmarks.comparison.contests import cache_contests, routing_contests
from beast_ml.benchmarks.comparison.report import describe, rows, summary, to_markdown
from beast_ml.benchmarks.figures import Figure

FIGURES = [
    Figure("shares", "gsm8k", "beast", "share_of_gap", 0.3, low=0.25, high=0.35),
    Figure("shares", "gsm8k", "knn", "share_of_gap", 0.2, low=0.15, high=0.24),
    Figure("shares", "gsm8k", "paretobandit", "share_of_gap", None),
    Figure("shares", "gsm8k", "routellm_mf", "share_of_gap", 0.22, low=0.1, high=0.3),
    Figure("shares", "gsm8k", "oracle", "share_of_gap", 1.0),
    Figure("shares", "gsm8k", "beast", "aiq", 0.8),
    Figure("shares", "alone", "knn", "share_of_gap", 0.1),
    Figure("strong_calls", "gsm8k", "beast", "cpt50", 0.3, low=0.2, high=0.4),
    Figure("strong_calls", "gsm8k", "routellm_mf", "cpt50", 0.6, low=0.5, high=0.7),
    Figure("speed", "quickstart router, 3 models, 50 tokens", "beast", "median_us", 101.0),
    Figure("speed", "quickstart router, 3 models, features given", "beast", "median_us", 20.0),
    Figure("speed", "wide router, 30 models, features given", "beast", "median_us", 28.0),
    Figure("speed", "vector given", "paretobandit", "median_us", 99.0),
    Figure("speed", "vector given", "llmrouter_mf", "median_us", 24.0),
    Figure("speed", "50 tokens", "minilm", "median_us", 9000.0),
]


def share(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


CACHE = {
    "sets": {
        "mrpc": {
            "hits_at_equal_rates": {
                "0.005": {},
                "0.01": {
                    "verifier": share(0.3, 0.28, 0.32),
                    "cosine": share(0.2, 0.18, 0.22),
                    "vcache_pooled": 0.1,
                },
            }
        },
        "entries": {
            "entries": 1000,
            "hits_at_equal_entries": {
                "0.01": {"verifier": share(0.3), "cosine": share(None), "vcache": share(0.4)},
            },
        },
        "mock": {
            "lookups": 999,
            "wrong_with_at_least_right": {"verifier": {"804": 13}, "cosine": {"804": 70}},
            "published_gptcache": {"0.95": [425, 25, 549], "0.9": [804, 77, 118]},
            "gptcache_here": {"default_threshold": 0.8, "0.9": [850, 60, 89], "0.95": [500, 20, 479]},
        },
        "adversarial": {"auc": {}},
    }
}


def test_routers_meet_on_the_figures_that_all_have():
    shares, calls, time = routing_contests(FIGURES)
    assert (shares.figure, shares.verdict) == ("share of the zero-router-to-oracle gap, gsm8k", "level")
    assert [each.name for each in shares.others] == ["nearest neighbours, tuned", "RouteLLM's matrix factorisation"]
    assert (calls.wanted, calls.verdict) == ("less", "ahead")
    assert (time.ours.value, time.best_other.name, time.verdict) == (20.0, "LLMRouter MF", "ahead")


def test_where_no_peer_was_timed_no_time_is_compared():
    assert [each.field for each in routing_contests(FIGURES[:5])] == ["routing"]


def test_caches_meet_at_equal_false_hit_rates():
    pairs, entries, mock = cache_contests(CACHE)
    assert (pairs.verdict, pairs.best_other.value) == ("ahead", 0.2)
    assert (entries.figure, entries.verdict) == (
        "hit rate at a false-hit rate of 1%, 1,000 bank questions stored",
        "behind",
    )
    assert [(each.name, each.value) for each in mock.others] == [
        ("a fixed cosine, which is GPTCache's rule", 70),
        ("GPTCache as published, threshold 0.9", 77),
        ("GPTCache on our embeddings, threshold 0.9", 60),
    ]
    assert (mock.ours.value, mock.verdict) == (13, "ahead")


@pytest.fixture
def contests():
    return [*routing_contests(FIGURES), *cache_contests(CACHE)]


def test_the_report_says_who_is_ahead_and_where_we_lose(contests):
    assert summary(contests) == "Of 6 figures ours is ahead in 4, level in 1, behind in 1"
    assert rows(contests)[0] == (
        "share of the zero-router-to-oracle gap, gsm8k",
        "0.300 [0.250, 0.350]",
        "0.220 [0.100, 0.300] (RouteLLM's matrix factorisation)",
        "level",
    )
    assert rows(contests)[2][1:] == ("20.0 us", "24.0 us (LLMRouter MF)", "ahead")
    text = to_markdown(contests, {"service": "no LiteLLM"}, "beast bench peers")
    assert "| nearest neighbours, tuned | 0.200 [0.150, 0.240] |" in text
    assert "Left out: service (no LiteLLM)" in text
    assert text.index("## Routing") < text.index("## Decision time") < text.index("## Cache")


def test_programs_read_the_same(contests):
    told = json.loads(json.dumps(describe(contests, {}, "beast bench peers")))
    assert [each["verdict"] for each in told["contests"]] == [each.verdict for each in contests]
    assert told["contests"][0]["others"][0]["name"] == "nearest neighbours, tuned"
