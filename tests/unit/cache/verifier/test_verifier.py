import json
import subprocess
import sys

import numpy as np
import pytest

from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.pairs import FEATURE_NAMES
from beast_ml.cache.verifier.training import TrainingConfig, cross_scores, fit_verifier
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.errors import BundleIntegrityError, NotEnoughDataError


def scores_of(verifier, pairs, encoder):
    return verifier.score(pairs.text_a, pairs.text_b, encoder.encode(pairs.text_a), encoder.encode(pairs.text_b))


def test_it_tells_pairs_apart_that_it_has_not_seen(fitted_verifier, hashed, pairs_of):
    fresh = pairs_of(7, 200)
    scores = scores_of(fitted_verifier.verifier, fresh, hashed)
    assert scores[fresh.same].mean() > scores[~fresh.same].mean() + 0.5
    assert ((scores > 0) & (scores < 1)).all()


def test_pairs_whose_cosines_are_known_need_no_vectors(fitted_verifier, hashed, pairs_of):
    verifier, fresh = fitted_verifier.verifier, pairs_of(5, 30)
    cosines = np.einsum("ij,ij->i", hashed.encode(fresh.text_a), hashed.encode(fresh.text_b))
    scores = verifier.score_pairs(fresh.text_a, fresh.text_b, cosines)
    np.testing.assert_array_equal(scores, scores_of(verifier, fresh, hashed))
    assert verifier.score_pairs([], [], cosines[:0]).shape == (0,)


def test_every_training_pair_has_a_score_by_a_model_that_did_not_see_it(fitted_verifier, training_pairs):
    scores, same = fitted_verifier.scores, training_pairs.same
    assert np.isfinite(scores).all()
    assert scores[same].mean() > scores[~same].mean() + 0.5


def test_labels_of_a_pair_do_not_reach_its_own_score(training_pairs):
    # Features that identify the pair: a model that saw the label would know it by heart.
    rng = np.random.default_rng(0)
    pairs = training_pairs.select(range(200))
    rows = rng.normal(size=(200, len(FEATURE_NAMES))).astype(np.float32)
    rows[:, 0] = np.arange(200)
    nothing = LabelledPairs((), (), np.zeros(0, bool))
    scores = cross_scores(pairs, rows, nothing, rows[:0], TrainingConfig(n_trees=20, n_folds=4, least_in_leaf=1), rng)
    assert abs(np.corrcoef(scores, pairs.same)[0, 1]) < 0.35


def test_what_is_saved_is_read_back_to_the_bit(fitted_verifier, hashed, distilled, tmp_path, pairs_of):
    verifier, fresh = fitted_verifier.verifier, pairs_of(3, 50)
    verifier.save(tmp_path / "verifier")
    again = Verifier.load(tmp_path / "verifier", distilled)
    assert again.hash == verifier.hash
    np.testing.assert_array_equal(scores_of(again, fresh, hashed), scores_of(verifier, fresh, hashed))


@pytest.mark.parametrize("name", ["verifier.npz", "rarity.json"])
def test_a_damaged_file_is_refused(fitted_verifier, distilled, tmp_path, name):
    fitted_verifier.verifier.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleIntegrityError, match="is not what was written"):
        Verifier.load(tmp_path, distilled)


@pytest.mark.parametrize("change", [{"format": 99}, {"features": ["cosine"]}, {"static": "other"}])
def test_a_verifier_of_another_version_or_table_is_refused(fitted_verifier, distilled, tmp_path, change):
    fitted_verifier.verifier.save(tmp_path)
    description = json.loads((tmp_path / "verifier.json").read_text()) | change
    (tmp_path / "verifier.json").write_text(json.dumps(description))
    with pytest.raises(BundleIntegrityError, match=r"another (version|static table)"):
        Verifier.load(tmp_path, distilled)


def test_an_absent_verifier_is_refused(distilled, tmp_path):
    with pytest.raises(BundleIntegrityError, match="no readable verifier"):
        Verifier.load(tmp_path / "nowhere", distilled)


def test_too_few_pairs_of_a_kind_are_refused(hashed, distilled, pairs_of):
    with pytest.raises(NotEnoughDataError, match="must be 20 of each"):
        fit_verifier(pairs_of(0, 30), hashed, distilled)


def test_scoring_needs_numpy_alone(fitted_verifier, tmp_path):
    fitted_verifier.verifier.save(tmp_path / "v")
    fitted_verifier.verifier.static.save(tmp_path / "s")
    code = f"""
import sys
from pathlib import Path
import numpy as np
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.features.encoder import StaticEncoder
verifier = Verifier.load(Path({str(tmp_path / "v")!r}), StaticEncoder.load(Path({str(tmp_path / "s")!r})))
one = np.eye(1, 64, dtype=np.float32)
assert 0 < verifier.score(["a b"], ["a c"], one, one)[0] < 1
assert not {{"lightgbm", "sklearn", "scipy", "torch", "pandas", "pyarrow"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_few_pairs_are_scored_in_more_folds():
    assert [TrainingConfig().folds_of(n) for n in (100, 1999, 2000)] == [10, 10, 5]
    assert TrainingConfig(n_folds=3).folds_of(100) == 3
