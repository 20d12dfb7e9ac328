from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.cache.lives import compare_lives
from beast_ml.benchmarks.cache.plain_cache import PlainCache
from beast_ml.benchmarks.cache.stream import ORDINARY, make_stream
from beast_ml.cache.replay.replay import Hit, replay
from beast_ml.cache.replay.stream import Stream, StreamRequest

HOUR_S = 3_600.0


def request(number, at_s, text="a", question=0, version=0, tenant="t", latency_s=1.0):
    return StreamRequest(number, at_s, tenant, text, "law", question, version, "usual", 2.0, latency_s)


def stream_of(*requests, changes=((),)):
    return Stream("by hand", 14.0, "by hand", requests, tuple(np.array(each, dtype=float) for each in changes))


class Always:
    """Serves the first answer to everyone."""

    def lookup(self, request, now_s):
        return Hit(0, "semantic", "memory", 0.0) if request.number else None

    def store(self, request, now_s):
        pass


def test_counts_false_and_stale_and_right_hits():
    stream = stream_of(
        request(0, 0.0),
        request(1, 1.0),
        request(2, 2.0, question=1),
        request(3, 3.0, tenant="other"),
        request(4, 20.0, version=1),
        changes=((10.0,), ()),
    )
    report = replay(stream, Always(), lambda _: HOUR_S)
    assert (report.n_requests, report.n_hits, report.n_false, report.n_stale) == (5, 4, 2, 1)
    assert (report.saved_usd, report.saved_s, report.spent_usd) == (2.0, 1.0, 2.0)
    assert (report.n_common, report.n_common_hits) == (2, 1)
    assert (report.n_new, report.n_first) == (3, 0)
    rates = report.to_dict()
    assert rates["false_hit_rate"] == 2 / 5
    assert rates["false_share_of_hits"] == 2 / 4
    assert rates["tiers"] == {"memory": 1.0}


def test_a_life_begins_when_the_answer_was_made_and_hits_do_not_prolong_it():
    stream = stream_of(*(request(i, 40.0 * i) for i in range(6)))
    report = replay(stream, PlainCache(lambda _: 100.0), lambda _: 100.0)
    assert report.n_hits == 4  # made at 0 and at 120, though asked for every 40 s
    assert report.n_common == report.n_common_hits == 4


def test_the_first_request_after_a_pause_is_what_warming_is_for():
    stream = stream_of(request(0, 0.0), request(1, 90.0), request(2, 250.0), request(3, 251.0))
    cold = replay(stream, PlainCache(lambda _: 100.0), lambda _: 100.0)
    assert (cold.n_new, cold.n_first, cold.n_first_hits, cold.first_s) == (1, 1, 0, 1.0)
    warm = replay(stream, Always(), lambda _: 100.0)
    assert (warm.n_first, warm.n_first_hits, warm.first_s) == (1, 1, 0.0)


def test_requests_while_the_model_answers_miss():
    stream = stream_of(request(0, 0.0, latency_s=5.0), request(1, 4.0, latency_s=0.5), request(2, 4.6), request(3, 6.0))
    assert replay(stream, PlainCache(lambda _: HOUR_S), lambda _: HOUR_S).n_hits == 3
    assert replay(stream, PlainCache(lambda _: HOUR_S), lambda _: HOUR_S, answer_s=True).n_hits == 2


def test_only_what_comes_after_the_start_is_counted():
    stream = stream_of(*(request(i, float(i)) for i in range(10)))
    report = replay(stream, PlainCache(lambda _: HOUR_S), lambda _: HOUR_S, from_s=5.0)
    assert (report.n_requests, report.n_hits, report.spent_usd) == (5, 5, 0.0)


def test_each_hour_comes_before_the_requests_of_that_hour():
    stream = stream_of(request(0, 10.0), request(1, 2.5 * HOUR_S))
    hours = []
    replay(stream, PlainCache(lambda _: 1.0), lambda _: 1.0, each_hour=lambda at_s: hours.append(at_s) or 0.5)
    assert hours == [0.0, HOUR_S, 2 * HOUR_S]


def test_a_plain_cache_is_never_false():
    stream = make_stream(replace(ORDINARY, n_requests=4_000, n_questions=200), seed=1)
    exact, normalised = (replay(stream, PlainCache(lambda _: 1e9, normalise=on), lambda _: 1e9) for on in (False, True))
    assert exact.n_false == normalised.n_false == 0
    assert 0 < exact.n_hits < normalised.n_hits
    assert set(normalised.by_kind_of_hit) == {"exact", "normalised"}
    assert normalised.n_common_hits + normalised.n_stale <= normalised.n_common


def test_a_full_plain_cache_forgets_the_least_recently_used():
    cache = PlainCache(lambda _: HOUR_S, max_entries=2)
    for i, text in enumerate("ab"):
        cache.store(request(i, 0.0, text), 0.0)
    assert cache.lookup(request(2, 1.0, "a"), 1.0) is not None
    cache.store(request(3, 2.0, "c"), 2.0)
    assert len(cache) == 2
    assert cache.lookup(request(4, 3.0, "b"), 3.0) is None


@pytest.mark.slow
def test_learned_lives_serve_less_than_half_the_stale_answers_at_an_equal_hit_rate():
    stream = make_stream(replace(ORDINARY, n_requests=8_000, n_questions=400), seed=5)
    found = compare_lives(stream, 24 * HOUR_S)
    assert found.learned.n_hits >= found.fixed.n_hits
    assert found.fixed.n_stale > 100
    assert found.stale_ratio < 0.5
