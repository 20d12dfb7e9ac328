import json
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.cache.verifier.online import OnlineThreshold
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.cache.verifier.training import TrainingConfig
from beast_ml.errors import BundleIntegrityError

TARGET = RiskTarget(0.05, 0.1)


def test_it_is_fitted_with_its_evidence(pairs_of, hashed, distilled):
    pairs = pairs_of(4, 80)
    trained = TrainedVerifier.fit(pairs, hashed, distilled, TrainingConfig(n_trees=10, n_folds=2, variants=0))
    assert np.isfinite(trained.scores).all()
    np.testing.assert_array_equal(trained.right, pairs.same)
    np.testing.assert_array_equal(trained.texts, pairs.text_ids)
    assert trained.vectors == hashed.hash


def test_its_threshold_is_that_of_risk_control_on_the_evidence(trained_verifier, training_pairs):
    threshold = trained_verifier.threshold(TARGET)
    given = trained_verifier.scores, training_pairs.same, TARGET
    assert threshold == choose_threshold(*given, texts=training_pairs.text_ids)
    assert threshold.n_hits > 20


def test_what_is_saved_is_read_back_to_the_bit(trained_verifier, distilled, tmp_path):
    trained_verifier.save(tmp_path / "verifier")
    again = TrainedVerifier.load(tmp_path / "verifier", distilled)
    assert again.hash == trained_verifier.hash
    assert again.threshold(TARGET) == trained_verifier.threshold(TARGET)
    assert again.grid() == trained_verifier.grid()


def test_the_hash_covers_verifier_and_evidence(trained_verifier):
    other = replace(trained_verifier.verifier, vectors="of another encoder")
    hashes = {
        trained_verifier.hash,
        trained_verifier.verifier.hash,
        replace(trained_verifier, verifier=other).hash,
        replace(trained_verifier, right=~trained_verifier.right).hash,
        replace(trained_verifier, scores=trained_verifier.scores / 2).hash,
        replace(trained_verifier, texts=trained_verifier.texts + 1).hash,
    }
    assert len(hashes) == 6


def test_damaged_evidence_is_refused(trained_verifier, distilled, tmp_path):
    trained_verifier.save(tmp_path)
    content = bytearray((tmp_path / "evidence.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "evidence.npz").write_bytes(content)
    with pytest.raises(BundleIntegrityError, match="is not what was written"):
        TrainedVerifier.load(tmp_path, distilled)


def test_evidence_of_another_version_or_verifier_or_none_is_refused(trained_verifier, distilled, tmp_path):
    trained_verifier.save(tmp_path)
    description = json.loads((tmp_path / "evidence.json").read_text())
    (tmp_path / "evidence.json").write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(BundleIntegrityError, match="of another version"):
        TrainedVerifier.load(tmp_path, distilled)
    (tmp_path / "evidence.json").write_text(json.dumps(description))
    replace(trained_verifier.verifier, vectors="other").save(tmp_path)
    with pytest.raises(BundleIntegrityError, match="of another verifier"):
        TrainedVerifier.load(tmp_path, distilled)
    (tmp_path / "evidence.npz").unlink()
    with pytest.raises(BundleIntegrityError, match="no readable evidence"):
        TrainedVerifier.load(tmp_path, distilled)


def test_the_grid_falls_is_fine_near_the_top_and_stops_where_nobody_would_serve(trained_verifier):
    grid = trained_verifier.grid(12)
    assert OnlineThreshold(TARGET, grid, 0.1).value == float("inf")  # it is a grid
    hits = np.array([(trained_verifier.scores >= value).sum() for value in grid])
    assert 6 < len(grid) <= 12
    assert hits[0] == 4
    assert (np.diff(hits)[-3:] > np.diff(hits)[:3].max()).all()
    wrong = (trained_verifier.scores >= grid[-1]) & ~trained_verifier.right
    assert 0.04 * len(wrong) <= wrong.sum() <= 0.05 * len(wrong)


def test_equal_scores_are_one_threshold(trained_verifier):
    flat = replace(trained_verifier, scores=np.full(len(trained_verifier.scores), 0.5))
    assert flat.grid() == (0.5,)
