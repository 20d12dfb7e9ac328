import asyncio
from collections import Counter
from itertools import repeat

import pytest

from beast_ml.cache.hit import Hit
from beast_ml.cache.verifier import picking as picking_module
from beast_ml.cache.verifier.picking import Picked
from beast_ml.serving.answer_cache import verdicts as verdicts_module
from beast_ml.serving.answer_cache.audits import Audits
from beast_ml.serving.answer_cache.judges import Doubt
from beast_ml.serving.answer_cache.semantic import Candidate, Look
from beast_ml.serving.answer_cache.verdicts import Verdicts
from beast_ml.testing.cache_entries import cache_entry, cache_key

KEY = cache_key("acme", "how?")


class Client:
    def __init__(self):
        self.heard, self.cache = [], "digest"

    async def verified(self, partition, tenant, score, *, wrong, probability, unverified):
        self.heard.append((partition, tenant, score, wrong, probability, unverified))


class Search:
    def __init__(self):
        self.client = Client()


class Judge:
    def __init__(self, verdict=False, is_free=False):
        self.verdict, self.is_free = verdict, is_free

    def may_see(self, models):
        return models is None or "judge" in models

    async def wrong(self, doubt):
        assert doubt == Doubt("acme", "how?", b"fresh", b"cached")
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def look(score=0.9, threshold=0.8, floor=0.3):
    entry = cache_entry("one", cache_key("acme", "how so?"), 0.0, answer=b"cached")
    return Look("searched", Candidate(Hit(entry, "semantic", "memory", 0.9), score), threshold, floor)


def passed(picking, key=KEY):
    """Return how many lookups of the partition were not picked since one was."""
    return picking.pick(key, look(0.9)).picked.unverified


def audits(judge, draw=0.0, share=0.2):
    search, counted = Search(), Counter()
    verdicts = None if judge is None else Verdicts(judge, lambda kind, verdict: counted.update([(kind, verdict)]))
    draws = iter(draw) if isinstance(draw, tuple) else repeat(draw)
    made = Audits(search, verdicts, share, lambda: next(draws))
    return made, search, counted


def test_a_share_of_hits_is_picked_with_its_probability_and_the_rest_counts_as_unverified():
    picking, _, _ = audits(Judge(), draw=(0.19, 0.21, 0.21, 0.19, 0.19))
    first = picking.pick(KEY, look())
    assert first.picked == Picked(0.2, 0)
    assert picking.pick(KEY, look()) is None
    assert picking.pick(cache_key("globex", "how?"), look()) is None
    assert passed(picking) == 1
    assert passed(picking, cache_key("globex", "how?")) == 1


def test_a_hit_may_be_picked_however_low_the_threshold_is():
    picking, _, _ = audits(Judge())
    assert picking.pick(KEY, look(0.2, threshold=0.1, floor=0.3)) is not None


def test_lookups_are_counted_of_so_many_partitions(monkeypatch):
    monkeypatch.setattr(picking_module, "_MOST_PARTITIONS", 2)
    picking, _, _ = audits(Judge())
    for tenant in ("acme", "globex", "acme", "initech"):
        assert picking.pick(cache_key(tenant), Look("gated")) is None
    assert [passed(picking, cache_key(tenant)) for tenant in ("acme", "globex", "initech")] == [2, 0, 1]


def test_near_misses_are_always_verified_where_it_costs_nothing():
    free, _, _ = audits(Judge(is_free=True), draw=0.99)
    assert free.pick(KEY, look(0.5)).picked.probability == 1.0
    assert free.pick(KEY, look(0.9)) is None  # a hit, which would cost an answer
    dear, _, _ = audits(Judge(), draw=0.99)
    assert dear.pick(KEY, look(0.5)) is None


@pytest.mark.parametrize("looked", [look(0.2), Look("gated"), Look("searched")])
def test_what_no_threshold_could_let_through_is_not_verified_but_counts(looked):
    picking, _, _ = audits(Judge(is_free=True))
    assert picking.pick(KEY, looked) is None
    assert passed(picking) == 1


@pytest.mark.parametrize("outcome", ["away", "late", "overloaded"])
def test_where_nobody_looked_there_was_no_lookup(outcome):
    picking, _, _ = audits(Judge())
    assert picking.pick(KEY, Look(outcome)) is None
    assert passed(picking) == 0


def test_what_the_judge_may_not_see_is_neither_verified_nor_counted():
    picking, _, _ = audits(Judge())
    assert picking.pick(KEY, look(), ["other"]) is None
    assert picking.pick(KEY, look(), ["other", "judge"]).picked == Picked(0.2, 0)


def test_without_a_judge_nothing_is_learnt():
    picking, _, _ = audits(None)
    assert picking.pick(KEY, look()) is None


@pytest.mark.parametrize(
    ("verdict", "said"), [(True, "wrong"), (False, "right"), (None, "unknown"), (OSError("away"), "unknown")]
)
def test_a_verdict_is_counted_and_told_and_so_is_that_there_is_none(verdict, said):
    picking, search, counted = audits(Judge(verdict))

    async def run():
        check = picking.pick(KEY, look())
        picking.answered(check, b"fresh")
        while not counted:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert counted == {("semantic", said): 1}
    heard = None if said == "unknown" else verdict
    assert search.client.heard == [(KEY.partition, "acme", 0.9, heard, 0.2, 0)]


def test_a_new_answer_that_does_not_come_is_told():
    judge = Judge(False)
    picking, search, counted = audits(judge, draw=(0.9, 0.9, 0.0))

    async def run():
        while (check := picking.pick(KEY, look())) is None:
            pass
        picking.answered(check, None)
        while not counted:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert counted == {("semantic", "unknown"): 1}
    assert search.client.heard == [(KEY.partition, "acme", 0.9, None, 0.2, 2)]


def test_where_too_many_wait_for_a_verdict_the_others_are_told_that_there_is_none(monkeypatch):
    monkeypatch.setattr(verdicts_module, "_MOST_AT_ONCE", 1)
    picking, search, counted = audits(Judge(True))

    async def run():
        for _ in range(2):
            picking.answered(picking.pick(KEY, look()), b"fresh")
        while counted.total() < 2:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert counted == {("semantic", "unknown"): 1, ("semantic", "wrong"): 1}
    assert sorted(str(wrong) for _, _, _, wrong, _, _ in search.client.heard) == ["None", "True"]


def test_a_score_of_a_trained_cache_that_was_replaced_is_told_nobody():
    picking, search, counted = audits(Judge())

    async def run():
        check = picking.pick(KEY, look())
        search.client.cache = "another"
        picking.answered(check, b"fresh")
        while not counted:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert not search.client.heard
