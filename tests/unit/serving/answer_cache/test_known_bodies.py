import pytest

from beast_ml.cache.key import ExactKey
from beast_ml.cache.request import CacheRequest
from beast_ml.experiments.assignment import Assignment
from beast_ml.serving.answer_cache.known_bodies import KnownBodies


class Maker:
    """Makes something else each time."""

    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1
        return CacheRequest.of_prompt("acme", "x"), ExactKey(b"", b"%d" % self.n)


def test_the_same_body_of_the_same_tenant_and_variant_is_made_into_a_key_once():
    bodies, make = KnownBodies(), Maker()
    drawn = [None, Assignment("e", "a", "champion", 0.5), Assignment("e", "b", "challenger", 0.5)]
    asked = [(raw, tenant, each) for raw in (b"1", b"2") for tenant in ("acme", "rival") for each in drawn]
    made = [bodies.made(*each, make) for each in asked]
    assert len({exact.exact for _, exact in made}) == make.n == 12
    assert [bodies.made(*each, make) for each in asked] == made
    assert make.n == 12


def test_what_is_remembered_is_bounded():
    bodies, make = KnownBodies(), Maker()
    for n in range(3000):
        bodies.made(b"%d" % n, "acme", None, make)
    bodies.made(b"2999", "acme", None, make)
    assert make.n == 3000
    bodies.made(b"0", "acme", None, make)
    assert make.n == 3001
    for _ in range(2):
        bodies.made(bytes(5000), "acme", None, make)
    assert make.n == 3003


def test_a_body_is_decoded_once_unless_it_is_refused():
    known, decoded = KnownBodies(), []

    def decode(raw):
        decoded.append(raw)
        if raw == b"bad":
            raise ValueError(raw)
        return raw.decode()

    assert [known.chat(b"one", decode) for _ in range(2)] == ["one", "one"]
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            known.chat(b"bad", decode)
    assert [len(known.chat(b"x" * 5000, decode)) for _ in range(2)] == [5000, 5000]  # too long to be remembered
    assert [len(raw) for raw in decoded] == [3, 3, 3, 5000, 5000]
