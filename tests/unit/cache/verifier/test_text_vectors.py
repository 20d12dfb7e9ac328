import numpy as np
import pytest

from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.errors import DataError
from beast_ml.features.hashing import HashingEncoder


class Counting:
    """Says which texts were embedded."""

    def __init__(self, dim=16):
        self.inner, self.asked = HashingEncoder(dim), []
        self.name, self.dim, self.hash = "counting", dim, self.inner.hash

    def encode(self, texts):
        self.asked += texts
        return self.inner.encode(texts)


def test_no_text_is_embedded_twice_from_run_to_run(tmp_path):
    first, second = Counting(), Counting()
    stored = StoredVectors(first, tmp_path / "v.npz")
    vectors = stored.encode(["a b", "c", "a b", ""])
    stored.save()
    again = StoredVectors(second, tmp_path / "v.npz").encode(["c", "a b", "d"])
    assert sorted(first.asked) == ["", "a b", "c"]
    assert second.asked == ["d"]
    np.testing.assert_array_equal(again[:2], vectors[[1, 0]])
    np.testing.assert_array_equal(vectors, HashingEncoder(16).encode(["a b", "c", "a b", ""]))


def test_vectors_of_another_encoder_are_made_anew(tmp_path):
    stored = StoredVectors(Counting(16), tmp_path / "v.npz")
    stored.encode(["a"])
    stored.save()
    other = Counting(32)
    assert StoredVectors(other, tmp_path / "v.npz").encode(["a"]).shape == (1, 32)
    assert other.asked == ["a"]


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "v.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="delete it"):
        StoredVectors(Counting(), tmp_path / "v.npz")


def test_no_texts_have_no_vectors():
    assert StoredVectors(Counting()).encode([]).shape == (0, 16)


def test_it_says_how_far_it_is():
    seen = []
    StoredVectors(Counting(), progress=lambda done, total: seen.append((done, total))).encode(
        [f"{i}" for i in range(600)]
    )
    assert seen == [(512, 600), (600, 600)]
