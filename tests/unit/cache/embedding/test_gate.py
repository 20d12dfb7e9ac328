import numpy as np
import pytest
from scipy.stats import binom

from beast_ml.cache.embedding.gate import GateBound, GateEncoder, choose_gate_bound, skipped_share
from beast_ml.errors import EncoderError, NotEnoughDataError
from beast_ml.features.encoder import StaticEncoder


@pytest.fixture(scope="module")
def gate(trained_cache):
    return GateEncoder.load(trained_cache)


def test_mapped_vectors_tell_more_of_minilm_than_the_table_does(gate, minilm_onnx, cache_questions):
    unseen = [text.replace("one", "they").replace("I", "we").replace("bread", "soup") for text in cache_questions[::7]]
    wanted = minilm_onnx.encode(unseen)
    pairs = np.triu_indices(len(unseen), 1)
    cosines = {each.name: (v @ v.T)[pairs] for each in (gate, gate.static) for v in [each.encode(unseen)]}
    agreement = {name: np.corrcoef(values, (wanted @ wanted.T)[pairs])[0, 1] for name, values in cosines.items()}
    assert agreement["gate"] > agreement["static"] + 0.05
    assert gate.dim == 128


def test_a_gate_vector_is_the_same_to_the_bit_alone_and_in_a_batch(gate, cache_questions):
    together = gate.encode([*cache_questions[:40], ""])
    for text, vector in zip((*cache_questions[:40], ""), together, strict=True):
        assert (gate.encode([text])[0] == vector).all()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_the_hash_says_which_table_and_which_map(gate):
    other = GateEncoder(gate.static, gate.mean, gate.directions * 2)
    assert gate.hash == GateEncoder(gate.static, gate.mean, gate.directions).hash != other.hash


def test_too_few_texts_are_said(gate):
    with pytest.raises(NotEnoughDataError, match="7 texts, must be at least 500"):
        GateEncoder.fit(gate.static, ["x"] * 7, np.zeros((7, 384), dtype=np.float32))


def test_without_its_map_the_gate_is_refused(gate, tmp_path):
    assert isinstance(gate.static, StaticEncoder)
    gate.static.save(tmp_path)
    with pytest.raises(EncoderError, match="no usable gate"):
        GateEncoder.load(tmp_path)


def test_the_bound_is_the_greatest_that_the_evidence_allows(rng):
    similarities = rng.random(2000)
    bound = choose_gate_bound(similarities, max_lost=0.02, confidence=0.95)
    assert bound.n_lost == (similarities < bound.similarity).sum()
    assert binom.cdf(bound.n_lost, 2000, 0.02) <= 0.05 < binom.cdf(bound.n_lost + 1, 2000, 0.02)


def test_bounds_chosen_on_samples_lose_more_than_they_may_as_seldom_as_they_say(rng):
    too_much = 0
    for _ in range(400):
        bound = choose_gate_bound(rng.beta(5, 2, 800), max_lost=0.02, confidence=0.9)
        too_much += (rng.beta(5, 2, 20_000) < bound.similarity).mean() > 0.02 + 0.002
    assert too_much / 400 < 0.1


def test_too_few_true_hits_are_said(rng):
    with pytest.raises(NotEnoughDataError, match=r"298 true hits .* must be at least 299"):
        choose_gate_bound(rng.random(298))
    assert choose_gate_bound(rng.random(299)) == choose_gate_bound(np.sort(np.random.default_rng(20).random(597)[298:]))


def test_the_share_of_lookups_that_are_stopped_is_counted():
    entries = np.eye(3, dtype=np.float32)
    lookups = np.array([[1, 0, 0], [0.6, 0.6, 0.52], [-1, 0, 0]], dtype=np.float32)
    assert skipped_share(lookups, entries, 0.7) == pytest.approx(2 / 3)
    assert skipped_share(lookups, entries[:0], 0.7) == 1
    assert GateBound(0.7, 0.01, 0.95, 10, 0).similarity == 0.7
