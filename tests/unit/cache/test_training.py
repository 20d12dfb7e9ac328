import numpy as np
import pytest

from beast_ml.cache.artefact import load_verifier
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.cache.training import CacheTraining, train_cache
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.errors import NotEnoughDataError
from beast_ml.features.hashing import HashingEncoder


@pytest.mark.parametrize("n_other", [19, 20])
def test_a_verifier_takes_20_pairs_of_either_kind(n_other, cache_questions, distilled, tmp_path):
    asked = cache_questions[:160]
    same = [f"please, {question}" for question in asked]
    other = [f"who taught you that, and where? {question}" for question in asked[:n_other]]
    labels = np.arange(160 + n_other) < 160
    pairs = LabelledPairs((*asked, *asked[:n_other]), (*same, *other), labels)
    manifest = train_cache(cache_questions, pairs, distilled, tmp_path, training=CacheTraining(max_lost=0.05))
    assert (manifest.verifier_hash is not None) == (n_other == 20)
    assert ("verifier/pairs" in manifest.headline) == (n_other == 20)
    assert (load_verifier(tmp_path) is not None) == (n_other == 20)


@pytest.mark.parametrize(("n", "n_embedded"), [(500, 0), (700, 700)])
def test_too_few_true_hits_are_refused_before_anything_is_fitted(n, n_embedded, distilled, tmp_path, monkeypatch):
    """Half of the pairs choose the bound: 250 are too few by their labels, 350 when none is near enough to hit."""

    class Counting(HashingEncoder):
        def encode(self, texts):
            embedded.extend(texts)
            return super().encode(texts)

    embedded: list[str] = []
    monkeypatch.setattr(OnnxEncoder, "minilm", lambda: Counting(64))
    pairs = LabelledPairs(
        tuple(f"alpha{i}" for i in range(n)), tuple(f"omega{i}" for i in range(n)), np.ones(n, dtype=bool)
    )
    with pytest.raises(NotEnoughDataError, match="true hits to choose the gate on, must be at least 299"):
        train_cache([f"prompt {i}" for i in range(600)], pairs, distilled, tmp_path)
    assert len(embedded) == n_embedded
    assert not any(text.startswith("prompt") for text in embedded)
