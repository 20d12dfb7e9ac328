import asyncio

import pytest

from beast_ml.cache.hit import Hit
from beast_ml.cache.lifetimes import AnswerAge
from beast_ml.errors import DataError
from beast_ml.serving.answer_cache import freshness as freshness_module
from beast_ml.serving.answer_cache.freshness import AGES_FILE, Freshness, read_ages
from beast_ml.serving.answer_cache.verdicts import Verdicts
from beast_ml.testing.cache_entries import cache_entry, cache_key


class Judge:
    is_free = True

    def may_see(self, models):
        return models is None or "judge" in models

    async def wrong(self, doubt):
        return {b"same": False, b"other": True}.get(doubt.fresh)


def hit(kind="exact"):
    return Hit(cache_entry("one", cache_key(), 1000.0, request_kind="law"), kind, "memory", 1.0)


@pytest.fixture
def verdicts():
    return Verdicts(Judge(), lambda _kind, _verdict: None)


async def settled(verdicts):
    while verdicts._running:
        await asyncio.sleep(0.001)


def test_only_answers_to_equal_requests_are_picked_and_a_share_of_them(verdicts, tmp_path):
    picking = Freshness(verdicts, 0.2, tmp_path / AGES_FILE, lambda: 0.1)
    assert picking.picks(hit())
    assert picking.picks(hit("normalised"))
    assert not picking.picks(hit("semantic"))
    assert picking.picks(hit(), ["judge"])
    assert not picking.picks(hit(), ["other"])
    refusal = cache_entry("no", cache_key(), 0.0, kind="refusal")
    assert not picking.picks(Hit(refusal, "exact", "memory"))
    assert not Freshness(verdicts, 0.2, tmp_path / AGES_FILE, lambda: 0.3).picks(hit())


def test_verdicts_are_written_with_age_and_kind(verdicts, tmp_path):
    learning = Freshness(verdicts, 1.0, tmp_path / AGES_FILE)

    async def run():
        for fresh in (b"same", b"other", b"neither"):
            learning.answered(hit(), "acme", 1060.0, fresh)
            await settled(verdicts)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert read_ages(tmp_path) == [AnswerAge("law", 60.0, True), AnswerAge("law", 60.0, False)]


def test_the_file_stays_small_and_what_was_before_is_still_read(verdicts, tmp_path, monkeypatch):
    monkeypatch.setattr(freshness_module, "_MOST_BYTES", 100)
    learning = Freshness(verdicts, 1.0, tmp_path / AGES_FILE)

    async def run():
        for _ in range(6):
            learning.answered(hit(), "acme", 1060.0, b"same")
            await settled(verdicts)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert len(read_ages(tmp_path)) == 6
    assert len(list(tmp_path.iterdir())) == 2


def test_a_line_that_is_being_written_is_left_out_and_a_damaged_one_is_said(tmp_path):
    file = tmp_path / AGES_FILE
    good = b'{"kind":"law","age_s":1.0,"still_right":true}\n'
    file.write_bytes(good + good[:20])
    assert len(read_ages(tmp_path)) == 1
    file.write_bytes(b"nothing\n" + good)
    with pytest.raises(DataError, match="line 1 of"):
        read_ages(tmp_path)


def test_nothing_is_known_of_a_new_host(tmp_path):
    assert read_ages(tmp_path) == []
