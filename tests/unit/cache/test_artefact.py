import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.cache.artefact import load_verifier, open_cache, verify_cache, write_cache
from beast_ml.cache.embedding.gate import GateEncoder
from beast_ml.cache.known_vectors import TrainedVectors, text_digest
from beast_ml.errors import BundleError, BundleIntegrityError, DataError
from beast_ml.features.distill import minilm_folder
from beast_ml.features.hashing import HashingEncoder


@pytest.fixture
def copy(trained_cache, tmp_path):
    return shutil.copytree(trained_cache, tmp_path / "copy")


def test_what_was_written_is_read_again(trained_cache, cache_questions, minilm_onnx):
    parts = open_cache(trained_cache)
    assert parts.manifest == verify_cache(trained_cache)
    assert (parts.bound, parts.manifest.n_known, len(parts.manifest.digest)) == (0.5, 550, 64)
    assert parts.encoder.hash == minilm_onnx.hash
    vector = parts.encoder.encode([cache_questions[3]])[0]
    np.testing.assert_allclose(parts.known.get(text_digest(cache_questions[3])), vector, atol=1e-3)
    assert parts.known.get(text_digest("what nobody asked")) is None


@pytest.mark.parametrize("name", ["minilm.onnx", "gate.safetensors", "known.safetensors", "curves.json"])
def test_a_changed_file_is_refused(name, copy):
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(BundleIntegrityError, match=f"{name} is not what the manifest says"):
        open_cache(copy)


@pytest.mark.parametrize("name", ["evil.pickle", "verifier/code.py", "verifier/deeper/arrays.npz"])
def test_what_is_no_part_of_it_is_refused(name, copy):
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_bytes(b"x")
    with pytest.raises(BundleIntegrityError, match="no part of a trained cache"):
        verify_cache(copy)


def test_a_missing_file_a_wrong_format_and_nothing_at_all_are_refused(copy, tmp_path):
    (copy / "known.safetensors").unlink()
    with pytest.raises(BundleIntegrityError, match="is missing"):
        verify_cache(copy)
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(BundleError, match="format version 9"):
        verify_cache(copy)
    with pytest.raises(BundleError, match="no trained cache"):
        verify_cache(tmp_path)


def write(parts, folder, **changes):
    known = TrainedVectors.of(["a", "b"], np.eye(2, 384, dtype=np.float32))
    given = {"minilm": minilm_folder(), "gate": parts.gate, "bound": None, "known": known, "training_digest": "0"}
    return write_cache(folder, **(given | changes))


@pytest.fixture
def of_cache(trained_verifier, minilm_onnx):
    """Return a verifier that says it compares this cache's vectors."""
    return replace(trained_verifier, verifier=replace(trained_verifier.verifier, vectors=minilm_onnx.hash))


def test_a_verifier_comes_along_if_it_reads_the_same_vectors(trained_cache, trained_verifier, of_cache, tmp_path):
    parts = open_cache(trained_cache)
    manifest = write(parts, tmp_path / "new", verifier=of_cache)
    assert manifest.verifier_hash == of_cache.hash
    assert {"verifier/verifier.json", "verifier/evidence.npz"} <= verify_cache(tmp_path / "new").files.keys()
    assert open_cache(tmp_path / "new").bound == -1
    with pytest.raises(BundleError, match="trained with another encoder"):
        write(parts, tmp_path / "other", verifier=trained_verifier)
    with pytest.raises(BundleError, match="not empty"):
        write(parts, tmp_path / "new")
    with pytest.raises(BundleError, match="must be of a static table"):
        write(parts, tmp_path / "other", gate=GateEncoder(HashingEncoder(), parts.gate.mean, parts.gate.directions))
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


def test_the_verifier_is_loaded_where_there_is_one(trained_cache, of_cache, distilled, tmp_path):
    assert load_verifier(trained_cache) is None
    folder = tmp_path / "new"
    write(open_cache(trained_cache), folder, verifier=of_cache)
    assert load_verifier(folder).hash == of_cache.hash
    replace(of_cache, scores=of_cache.scores / 2).save(folder / "verifier")
    with pytest.raises(BundleIntegrityError, match="is not the one it was trained with"):
        load_verifier(folder)
    (folder / "table.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="build the cache again"):
        load_verifier(folder)
    with pytest.raises(BundleError, match="no trained cache"):
        load_verifier(tmp_path)


def test_a_worker_that_loads_the_verifier_loads_no_engine(trained_cache, of_cache, tmp_path):
    folder = tmp_path / "new"
    write(open_cache(trained_cache), folder, verifier=of_cache)
    code = f"""
import sys
from pathlib import Path
from beast_ml.cache.artefact import load_verifier
assert load_verifier(Path({str(folder)!r})).grid()
heavy = {{"onnxruntime", "onnx", "faiss", "lightgbm", "sklearn", "scipy", "torch", "pandas", "pyarrow", "matplotlib"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_vectors_are_each_found_by_their_text(rng, tmp_path):
    texts = [f"text {n}" for n in range(500)]
    vectors = rng.normal(size=(500, 4)).astype(np.float32)
    TrainedVectors.of(texts, vectors).save(tmp_path)
    known = TrainedVectors.load(tmp_path)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_array_equal(known.get(text_digest(text)), vector.astype(np.float16))
    assert known.get(text_digest("text 500")) is None
    assert TrainedVectors.of([], vectors[:0]).get(text_digest("x")) is None
    (tmp_path / "known.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no known vectors"):
        TrainedVectors.load(tmp_path)
