"""A process whose store does not answer: who waits for it, and what is served meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from beast_ml.cache.invalidation.invalidator import Invalidator
from beast_ml.cache.invalidation.scopes import Scope
from beast_ml.cache.invalidation.sql_store import SqlInvalidations
from beast_ml.errors import UnavailableError
from beast_ml.testing.invalidation_conformance import entry_for, key_for


class Store(SqlInvalidations):
    """One that may hang for a moment, and then be away."""

    def __init__(self, engine):
        super().__init__(engine)
        self.away, self.hangs, self.n_asked = False, threading.Event(), 0

    def position(self):
        self.n_asked += 1
        if self.away:
            self.hangs.wait(10)
            raise UnavailableError("the store does not answer")
        return super().position()


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def test_who_waits_while_the_store_does_not_answer_waits_for_one_timeout_and_not_for_each(store):
    invalidator = Invalidator(store)
    invalidator.refresh()
    store.away, before = True, store.n_asked
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(invalidator.invalidate, Scope("tag", "x")) for _ in range(8)]
        time.sleep(0.2)  # all of them have come
        store.hangs.set()
        for each in asked:
            with pytest.raises(UnavailableError, match="does not answer"):
                each.result()
    assert store.n_asked == before + 1
    store.away = False
    invalidator.invalidate(Scope("tag", "x"))


def test_a_process_that_begins_while_the_store_is_away_serves_nothing_until_it_answers(store, tmp_path):
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    first, second = (Invalidator(store, copy=SqlInvalidations.open(url)) for _ in range(2))
    first.refresh()
    entry = entry_for(key_for("a"), first.table.stamp())
    store.away = True
    store.hangs.set()
    with pytest.raises(UnavailableError):
        second.refresh()
    assert second.table.position == first.table.position
    assert first.table.holds(entry)
    assert not second.table.holds(entry)  # its copy may be a week old
    store.away = False
    assert not second.refresh()
    assert second.table.holds(entry)
    first.close()
    second.close()
