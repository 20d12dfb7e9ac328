"""What regions send each other over a real Valkey: each entry once, none of another secret, none without a bound."""

import time
from random import Random

import pytest
import redis

from beast_ml.cache import region_stream
from beast_ml.cache.region_stream import RegionStream, Taken
from beast_ml.errors import UnavailableError
from beast_ml.testing.cache_entries import cache_entry, cache_key
from beast_ml.testing.valkey import valkey_server

SECRET = b"sixteen bytes of it"


@pytest.fixture
def side(valkey_url):
    """Return a function that returns one region's side of the streams."""
    opened = []
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()

    def open_side(region, secret=SECRET, url=valkey_url):
        opened.append(RegionStream.open(url, region, secret))
        return opened[-1]

    yield open_side
    for each in opened:
        each.close()


def entries(*names, tenant="acme", **more):
    return [cache_entry(name, cache_key(tenant, name), time.time(), **more) for name in names]


def ids(taken: Taken):
    return sorted(entry.entry_id for entry in taken.entries)


def test_every_other_region_takes_each_entry_once_whichever_host_asks(side):
    eu, us, ap = side("eu"), side("us"), side("ap")
    sent = entries("one", "two")
    assert us.take() == Taken((), 0, ())
    eu.put_many(sent)
    assert sorted(us.take().entries, key=lambda each: each.entry_id) == sent
    assert side("us").take().entries == ()  # another host of that region
    assert ids(ap.take()) == ["one", "two"]  # nothing is sent on: the next line is of `us` alone
    us.put_many(entries("three"))
    assert (ids(eu.take()), ids(ap.take()), ids(us.take())) == (["three"], ["three"], [])


def test_a_region_that_begins_gets_what_the_streams_hold_and_no_more_than_that(side, monkeypatch):
    monkeypatch.setattr(region_stream, "_MAX_ENTRIES", 100)
    eu = side("eu")
    for start in range(0, 1000, 250):
        eu.put_many(entries(*(f"{n:04}" for n in range(start, start + 250))))
    us, got, n_waiting = side("us"), [], None
    while n_waiting != 0:
        taken = us.take()
        got, n_waiting = got + ids(taken), taken.n_waiting
    assert 100 <= len(got) <= 300  # a stream is cut by blocks
    assert got[-1] == "0999"


def test_what_was_sent_long_ago_goes_though_the_streams_have_room(side, valkey_url):
    eu, us = side("eu"), side("us")
    eu.put_many(entries("old", life_s=30 * 86_400.0))
    with redis.Redis.from_url(valkey_url) as client:
        RegionStream(client, "eu", SECRET, clock=lambda: time.time() + 6 * 86_400).put_many([])
        assert client.xlen("{beast:cache}:region:eu") == 1
        RegionStream(client, "eu", SECRET, clock=lambda: time.time() + 8 * 86_400).put_many([])
        assert client.xlen("{beast:cache}:region:eu") == 0
        assert 0 < client.ttl("{beast:cache}:region:eu") <= 7 * 86_400
    assert ids(us.take()) == []


def test_what_is_too_long_stays_and_what_has_expired_is_not_taken(side):
    eu, us = side("eu"), side("us")
    eu.put_many(entries("long", answer=Random(1).randbytes(20_000)) + entries("old", life_s=-1.0))
    eu.put_many(entries("packed", answer=b"word " * 20_000))
    assert ids(us.take()) == ["packed"]


def test_a_region_with_another_secret_is_named_and_left_alone(side):
    eu, us = side("eu"), side("us", b"another sixteen bytes")
    eu.put_many(entries("one"))
    us.put_many(entries("two"))
    assert (eu.take(), us.take()) == (Taken((), 0, ("us",)), Taken((), 0, ("eu",)))


def test_a_tenant_is_forgotten_in_all_streams(side):
    eu, us, ap = side("eu"), side("us"), side("ap")
    eu.put_many(entries("one", "two") + entries("three", tenant="other"))
    us.put_many(entries("four"))
    assert eu.forget("acme") == 3
    assert (ids(ap.take()), eu.forget("acme")) == (["three"], 0)


def test_a_home_that_is_away_says_so_and_one_that_lost_all_begins_anew():
    with valkey_server() as home:
        eu, us = (RegionStream.open(home.connection_url, name, SECRET) for name in ("eu", "us"))
        eu.put_many(entries("one"))
        assert ids(us.take()) == ["one"]
        home.stop()
        for call in (us.take, lambda: eu.put_many(entries("two")), lambda: eu.forget("acme")):
            with pytest.raises(UnavailableError, match="the home region's Valkey does not answer"):
                call()
        home.start()  # with nothing on its disk
        assert us.take() == Taken((), 0, ())
        eu.put_many(entries("two"))
        taken = ids(us.take()) or ids(us.take())  # the first says that the region is not known there any more
        assert taken == ["two"]
        eu.close()
        us.close()
