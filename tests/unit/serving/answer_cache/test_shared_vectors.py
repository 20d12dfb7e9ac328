import numpy as np

from beast_ml.cache.index.partition import Neighbour
from beast_ml.errors import UnavailableError
from beast_ml.serving.answer_cache import shared_vectors
from beast_ml.serving.answer_cache.shared_vectors import SharedVectors
from beast_ml.testing.cache_entries import cache_entry, cache_key

VECTOR = np.array([1.0, 0.0], dtype=np.float32)


class Vectors:
    def __init__(self):
        self.away, self.asked = True, 0

    def near(self, partition, vector, k):
        self.asked += 1
        if self.away:
            raise UnavailableError("after two seconds")
        return [("one", 0.9)]

    def put_many(self, rows):
        self.near(b"", None, 0)
        return len(rows)


def test_a_database_that_is_away_is_left_alone_for_a_moment(monkeypatch):
    now = 0.0
    health = shared_vectors.TierHealth
    monkeypatch.setattr(shared_vectors, "TierHealth", lambda: health(rest_s=1.0, clock=lambda: now))
    vectors = Vectors()
    shared = SharedVectors(lambda: vectors)
    entry = cache_entry("one", cache_key("acme", "how?"), 0.0)
    shared.stored(entry)
    for _ in range(5):
        assert shared.near(b"p", VECTOR, 4) == []
        shared.write([("one", entry.key.partition, VECTOR)])
    assert vectors.asked == 1
    vectors.away, now = False, 1.0
    assert shared.near(b"p", VECTOR, 4) == [Neighbour("one", 0.9)]
    shared.write([("one", entry.key.partition, VECTOR)])
    assert vectors.asked == 3
