import sys

import numpy as np
import pytest

from beast_ml.errors import MissingExtraError
from beast_ml.features.distill import MINILM_SHA256
from beast_ml.features.sentence import SentenceEncoder


@pytest.fixture(scope="module")
def minilm():
    return SentenceEncoder.minilm()


def test_minilm_says_which_weights_it_is(minilm):
    assert (minilm.name, minilm.hash, minilm.dim) == ("minilm", MINILM_SHA256, 384)


def test_vectors_have_unit_length_and_mean_something(minilm):
    vectors = minilm.encode(["a fast car", "a quick automobile", "banana bread", "\ud800"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_without_sentence_transformers_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match='the mine encoder needs the "train" extra'):
        SentenceEncoder(tmp_path, "mine", "0" * 64).encode(["x"])
