from dataclasses import dataclass, field

import numpy as np

from beast_ml.benchmarks.cached_encoder import CachedEncoder, CachingLearner
from beast_ml.features.hashing import HashingEncoder


@dataclass
class Asked:
    encoder: HashingEncoder = field(default_factory=lambda: HashingEncoder(8))
    hash: str = "h"
    name: str = "asked"
    dim: int = 8
    texts: list[str] = field(default_factory=list)

    def encode(self, texts):
        self.texts += texts
        return self.encoder.encode(texts)


def test_no_text_is_embedded_twice_and_vectors_are_those_of_the_encoder():
    asked = Asked()
    cached = CachedEncoder(asked)
    first = cached.encode(["one", "two", "one"])
    again = cached.encode(["two", "three"])
    assert asked.texts == ["one", "two", "three"]
    assert np.array_equal(first, asked.encoder.encode(["one", "two", "one"]))
    assert np.array_equal(again, asked.encoder.encode(["two", "three"]))
    assert (cached.name, cached.dim, cached.hash) == ("asked", 8, "h")


def test_a_later_run_finds_what_an_earlier_one_saved(tmp_path):
    path = tmp_path / "vectors.npz"
    CachedEncoder(Asked(), path).save()
    assert not path.exists()  # there was nothing to save
    earlier = CachedEncoder(Asked(), path)
    vectors = earlier.encode(["one", "zwei\ud800"])
    earlier.save()
    later = Asked()
    assert np.array_equal(CachedEncoder(later, path).encode(["zwei\ud800", "one"]), vectors[::-1])
    assert later.texts == []


def test_vectors_of_other_weights_are_made_anew(tmp_path):
    path = tmp_path / "vectors.npz"
    earlier = CachedEncoder(Asked(), path)
    earlier.encode(["one"])
    earlier.save()
    other = Asked(hash="other")
    CachedEncoder(other, path).encode(["one"])
    assert other.texts == ["one"]


def test_a_learner_remembers_what_it_embeds_and_learns_the_same(outcomes):
    asked = Asked(HashingEncoder(), HashingEncoder().hash, "hashing", HashingEncoder().dim)
    learner = CachingLearner("hashing", remembering=CachedEncoder(asked))
    features = [one.load_encoder().encode(outcomes.prompts[:9]) for one in (learner, CachingLearner("hashing"))]
    assert np.array_equal(*features)
    learner.load_encoder().encode(outcomes.prompts[:9])
    assert len(asked.texts) == 9
