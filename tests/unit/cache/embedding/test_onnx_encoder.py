import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.cache.embedding.graph import minilm_graph
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder, write_onnx_encoder
from beast_ml.errors import EncoderError, MissingExtraError
from beast_ml.features.distill import minilm_folder
from beast_ml.features.sentence import SentenceEncoder

TEXTS = (
    "What is the capital of France?",
    "",
    "ünïcödé, 中文 and \ud800",
    "enable 2FA",
    "def reverse(text):\n    return text[::-1]\n" * 5,
    "How many metres are 3,5 km? " * 20,
)


def test_vectors_are_those_of_torch(minilm_onnx):
    torch_vectors = SentenceEncoder.minilm().encode(TEXTS)
    np.testing.assert_allclose(minilm_onnx.encode(TEXTS), torch_vectors, atol=2e-6)
    assert minilm_onnx.dim == 384


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=120) | st.text("ab c", min_size=400, max_size=900), min_size=1, max_size=8))
def test_a_vector_is_the_same_to_the_bit_alone_and_in_a_batch(minilm_onnx, texts):
    together = minilm_onnx.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        assert (minilm_onnx.encode([text])[0] == vector).all()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_of_a_long_text_the_beginning_and_the_end_count(minilm_onnx):
    middle = " and so on" * 150
    first, same, other_end, other_start = minilm_onnx.encode(
        [
            f"translate{middle} tonight",
            f"translate{middle} tonight",
            f"translate{middle} cake",
            f"refuse{middle} tonight",
        ]
    )
    assert (first == same).all()
    assert (first != other_end).any()
    assert (first != other_start).any()
    assert len(minilm_onnx.token_ids("word " * 5000)) == 256


def test_the_same_weights_give_the_same_file_and_encoder(minilm_onnx, tmp_path):
    assert write_onnx_encoder(minilm_folder(), tmp_path) == minilm_onnx.hash
    anew = OnnxEncoder.minilm()
    assert anew.hash == minilm_onnx.hash
    np.testing.assert_array_equal(anew.encode(["enable 2FA"]), minilm_onnx.encode(["enable 2FA"]))


def test_a_damaged_file_is_refused(onnx_folder, tmp_path):
    shutil.copytree(onnx_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "minilm.onnx").write_bytes(b"\x08\x08nonsense")
    with pytest.raises(EncoderError, match="no usable sentence encoder"):
        OnnxEncoder.load(tmp_path)


def test_another_kind_of_model_is_refused(tmp_path):
    shutil.copy(minilm_folder() / "model.safetensors", tmp_path)
    config = (minilm_folder() / "config.json").read_text().replace('"gelu"', '"relu"')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(EncoderError, match="hidden_act 'relu', must be 'gelu'"):
        minilm_graph(tmp_path)


@pytest.mark.parametrize(("module", "extra"), [("onnx", "train"), ("onnxruntime", "serve")])
def test_what_is_not_installed_is_named(module, extra, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f'"{extra}" extra'):
        minilm_graph(tmp_path) if module == "onnx" else OnnxEncoder.load(tmp_path)


def test_serving_it_imports_neither_torch_nor_transformers(onnx_folder):
    code = (
        "import sys; from pathlib import Path; from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder; "
        f"OnnxEncoder.load(Path({str(onnx_folder)!r})).encode(['a']); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "sentence_transformers", "onnx", "faiss"}.isdisjoint(loaded)
    assert "onnxruntime" in loaded
