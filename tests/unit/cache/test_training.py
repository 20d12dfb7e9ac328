import numpy as np
import pytest

from beast_ml.cache.artefact import load_verifier
from beast_ml.cache.training import CacheTraining, train_cache
from beast_ml.cache.verifier.labelled import LabelledPairs


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
