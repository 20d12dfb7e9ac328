"""pytest fixtures of the semantic cache: MiniLM as it is served, and a small trained cache."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from beast_ml.cache.artefact import write_cache
from beast_ml.cache.embedding.gate import GateBound, GateEncoder
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder, write_onnx_encoder
from beast_ml.cache.known_vectors import TrainedVectors
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.features.distill import minilm_folder, static_encoder
from beast_ml.testing.made_once import made_once

__all__ = ["cache_pairs", "cache_questions", "minilm_onnx", "onnx_folder", "trained_cache", "verified_cache"]

_WAYS = ("how do I", "what does it take to", "is it hard to", "can anybody teach me to", "why would one")
_DEEDS = ("bake", "paint", "sell", "repair", "insure", "photograph", "translate", "weigh", "hide", "return")
_THINGS = (
    *("bread", "a bicycle", "an old house", "a contract", "a violin", "a bank account"),
    *("a garden wall", "a passport", "a tax form", "a parrot", "wine"),
)


@pytest.fixture(scope="session")
def cache_questions() -> tuple[str, ...]:
    """Return 550 made-up questions."""
    return tuple(" ".join(words) + "?" for words in product(_WAYS, _DEEDS, _THINGS))


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with MiniLM's ONNX file and tokenizer; a test that changes it copies it first."""
    return made_once(
        "minilm-onnx",
        lambda folder: write_onnx_encoder(minilm_folder(), folder),
        tmp_path_factory.mktemp("cache") / "minilm",
    )


@pytest.fixture(scope="session")
def minilm_onnx(onnx_folder: Path) -> OnnxEncoder:
    """Return the encoder in it."""
    return OnnxEncoder.load(onnx_folder)


@pytest.fixture(scope="session")
def cache_pairs(cache_questions: tuple[str, ...]) -> LabelledPairs:
    """Return 1,500 pairs of them: "how do I" and "what does it take to" ask the same, all else does not."""
    deeds = [" ".join(words) + "?" for words in product(_DEEDS, _THINGS)]
    same = [(f"{_WAYS[0]} {deed}", f"{_WAYS[1]} {deed}") for deed in deeds]
    near = [(f"{way} {deed}", f"{other} {deed}") for deed in deeds for way in _WAYS[:2] for other in _WAYS[2:]]
    drawn = np.random.default_rng(0).integers(len(deeds), size=(1500, 2)).tolist()
    far = [(f"{_WAYS[0]} {deeds[a]}", f"{_WAYS[1]} {deeds[b]}") for a, b in drawn if a != b]
    pairs = [*same, *near, *far][:1500]
    return LabelledPairs(tuple(a for a, _ in pairs), tuple(b for _, b in pairs), np.arange(len(pairs)) < len(same))


@pytest.fixture(scope="session")
def trained_cache(
    tmp_path_factory: pytest.TempPathFactory, minilm_onnx: OnnxEncoder, cache_questions: tuple[str, ...]
) -> Path:
    """Return the folder of a cache trained on these questions; a test that changes it copies it first."""
    return made_once(
        "trained-cache",
        lambda folder: _write(folder, minilm_onnx, cache_questions),
        tmp_path_factory.mktemp("caches") / "trained",
    )


@pytest.fixture(scope="session")
def verified_cache(
    tmp_path_factory: pytest.TempPathFactory,
    minilm_onnx: OnnxEncoder,
    cache_questions: tuple[str, ...],
    cache_pairs: LabelledPairs,
) -> Path:
    """Return the folder of one that has a verifier, fitted on `cache_pairs`."""

    def make(folder: Path) -> None:
        verifier = TrainedVerifier.fit(cache_pairs, minilm_onnx, static_encoder())
        _write(folder, minilm_onnx, cache_questions, verifier)

    return made_once("verified-cache", make, tmp_path_factory.mktemp("caches") / "verified")


def _write(
    folder: Path, encoder: OnnxEncoder, questions: tuple[str, ...], verifier: TrainedVerifier | None = None
) -> None:
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]] = encoder.encode(questions)
    write_cache(
        folder,
        minilm=minilm_folder(),
        gate=GateEncoder.fit(static_encoder(), questions, vectors),
        bound=GateBound(0.5, max_lost=0.01, confidence=0.95, n_hits=0, n_lost=0),
        known=TrainedVectors.of(questions, vectors),
        training_digest="0" * 64,
        headline={"gate/skipped": 0.5},
        verifier=verifier,
    )
