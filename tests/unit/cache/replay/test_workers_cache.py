from contextlib import closing

import pytest

from beast_ml.cache.replay.workers_cache import ReplayKeys, WorkersCache
from beast_ml.cache.request import CacheLevel

HOUR_S = 3_600.0
TEXT = "How do I renew a passport in Berlin?"
PARAPHRASE = "How do I easily renew a passport in Berlin?"


def opened(**settings):
    return closing(WorkersCache(ReplayKeys(), lambda _: HOUR_S, **settings))


def test_equal_and_normalised_requests_hit_within_the_life_of_the_answer(asked):
    with opened(n_workers=1) as cache:
        assert cache.lookup(asked(0, 0.0, TEXT), 0.0) is None
        cache.store(asked(0, 0.0, TEXT), 0.0)
        hit = cache.lookup(asked(1, 10.0, TEXT), 10.0)
        assert (hit.source, hit.how, hit.tier, hit.made_at_s) == (0, "exact", "memory", 0.0)
        assert cache.lookup(asked(2, 11.0, f"  {TEXT} "), 11.0).how == "normalised"
        assert cache.lookup(asked(3, 12.0, TEXT, tenant="other"), 12.0) is None
        assert cache.lookup(asked(4, HOUR_S + 1, TEXT), HOUR_S + 1) is None


def test_at_the_exact_level_only_equals_hit(asked):
    with opened(n_workers=1, level=CacheLevel.EXACT) as cache:
        cache.store(asked(0, 0.0, TEXT), 0.0)
        assert cache.lookup(asked(1, 1.0, f"  {TEXT} "), 1.0) is None
        assert cache.lookup(asked(2, 1.0, TEXT), 1.0).how == "exact"


@pytest.mark.parametrize("shared", [False, True])
def test_workers_know_of_each_other_only_through_what_they_share(asked, shared):
    with opened(n_workers=8, shared=shared) as cache:
        cache.store(asked(0, 0.0, TEXT), 0.0)
        hits = [cache.lookup(asked(i, float(i), TEXT), float(i)) for i in range(1, 40)]
        assert all(hits) is shared
        assert {hit.tier for hit in hits if hit} == ({"memory", "sql"} if shared else {"memory"})


def test_what_bypasses_is_neither_found_nor_kept(asked):
    with opened() as cache:
        personal = asked(0, 0.0, "Where is my order?")
        cache.store(personal, 0.0)
        assert cache.lookup(personal, 1.0) is None
        assert cache.key(personal) is None
        assert cache.expires_at(personal) == 0.0
        assert ReplayKeys().canonical(personal) is None


def test_a_paraphrase_hits_if_the_verifier_approves_until_its_answer_expires(asked, recognising):
    with opened(recognition=recognising.recognition, right=lambda *_: True) as cache:
        cache.store(asked(0, 0.0, TEXT), 0.0)
        hit = cache.lookup(asked(1, 1.0, PARAPHRASE), 1.0)
        assert (hit.source, hit.how) == (0, "semantic")
        assert cache.lookup(asked(2, 2.0, "What is the capital of a country like Peru?"), 2.0) is None
        assert cache.expires_at(asked(3, 3.0, PARAPHRASE)) == HOUR_S
        assert cache.lookup(asked(4, HOUR_S + 1, PARAPHRASE), HOUR_S + 1) is None


def test_no_pair_is_scored_twice(asked, recognising):
    for _ in range(2):
        with opened(recognition=recognising.recognition, right=lambda *_: True) as cache:
            cache.store(asked(0, 0.0, TEXT), 0.0)
            assert cache.lookup(asked(1, 1.0, PARAPHRASE), 1.0) is not None
    assert recognising.verifier.n_scored == 1


def test_memory_grows_with_what_is_kept(asked):
    with opened(n_workers=2) as cache:
        before = cache.memory_bytes()
        cache.store(asked(0, 0.0, TEXT), 0.0)
        assert cache.memory_bytes() > before + 1_000
