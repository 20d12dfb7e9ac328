"""Train a cache: the gate on what is asked, its bound and the verifier on labelled pairs, vectors of what is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.artefact import CacheManifest, write_cache
from beast_ml.cache.embedding.gate import GateBound, GateEncoder, check_enough_hits, choose_gate_bound, skipped_share
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.cache.known_vectors import TrainedVectors
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.operating_points import VerifierCurves, verifier_curves
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.cache.verifier.training import LEAST_OF_EACH, TrainingConfig
from beast_ml.features.distill import minilm_folder
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["CacheTraining", "train_cache"]

Progress = Callable[[str, int, int], None]

_SIZES: Final = (100, 300, 1000, 3000, 10_000)
_LOOKUPS: Final = 1000
_COSINES: Final = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_BLOCK: Final = 512


@dataclass(frozen=True)
class CacheTraining:
    """How a cache is trained.

    Parameters
    ----------
    max_lost
        Share of true hits that the gate may lose.
    hits_from
        Cosine from which on a pair whose answer is right counts as a hit that could be lost: at less than that no
        verifier would let it through.
    most_texts
        Texts that the gate is fitted on.
    most_pairs
        Pairs that are embedded to choose its bound on.
    most_learnt
        Pairs that the verifier learns from, drawn.
    most_known
        Texts, the most frequent ones, whose vectors come along.
    seed
        Of everything that is drawn.
    """

    max_lost: float = 0.01
    hits_from: float = 0.8
    most_texts: int = 5000
    most_pairs: int = 4000
    most_learnt: int = 20_000
    most_known: int = 20_000
    seed: int = 0


def train_cache(
    prompts: Sequence[str],
    pairs: LabelledPairs | None,
    static: StaticEncoder,
    folder: Path,
    *,
    training: CacheTraining | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> CacheManifest:
    """Train a cache, write it into a new folder, and return its manifest.

    Parameters
    ----------
    prompts
        Texts that are asked, each once, most frequent first; may be empty if there are pairs.
    pairs
        Labelled pairs; None: the gate stays open, for nobody knows what it would lose, and there is no verifier; nor
        is there one with fewer than 20 pairs of either kind.
    static
        The static table, of MiniLM's tokenizer.
    folder
        Must not exist, or be empty.
    training
        How.
    progress
        Called with (what, done, total).

    Raises
    ------
    NotEnoughDataError
        If there are fewer than 500 texts, or too few true hits to choose the gate's bound on.
    BundleError
        If the folder is not empty.
    """
    training = training or CacheTraining()
    rng = np.random.default_rng(training.seed)
    encoder = _Remembering(OnnxEncoder.minilm(), progress)
    held = _drawn_pairs(pairs, rng)
    if held is not None:
        _check_held(held, encoder, training)
    gate = _fitted_gate(prompts, pairs, held, static, encoder, training, rng)
    bound, curves = (None, {}) if held is None else _closed_gate(gate, encoder, held, training)
    verifier, learnt = _trained_verifier(pairs, encoder, static, training, progress)
    if learnt is not None:
        curves |= {"verifier": msgspec.to_builtins(learnt)}
    asked = list(prompts[: training.most_known])
    known = TrainedVectors.of(asked, encoder.encode(asked))
    return write_cache(
        folder,
        minilm=minilm_folder(),
        gate=gate,
        bound=bound,
        known=known,
        training_digest=_digest(prompts, pairs),
        verifier=verifier,
        curves=curves,
        headline=_headline(bound, curves, len(known)) | ({} if learnt is None else learnt.headline),
    )


class _Remembering:
    """The encoder, asked once for each text, in blocks between which it says how far it is."""

    def __init__(self, encoder: OnnxEncoder, progress: Progress) -> None:
        self.name, self.dim, self.hash = encoder.name, encoder.dim, encoder.hash
        self._encoder, self._progress = encoder, progress
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dim) vectors."""
        new = sorted({text for text in texts if text not in self._vectors}, key=len)
        for start in range(0, len(new), _BLOCK):
            block = new[start : start + _BLOCK]
            self._vectors.update(zip(block, self._encoder.encode(block), strict=True))
            self._progress("embedding", min(start + _BLOCK, len(new)), len(new))
        return np.array([self._vectors[text] for text in texts], dtype=np.float32).reshape(len(texts), self.dim)


def _drawn_pairs(pairs: LabelledPairs | None, rng: np.random.Generator) -> LabelledPairs | None:
    """Return the half of the pairs that the bound is chosen on; the gate is fitted on the others."""
    if pairs is None:
        return None
    return pairs.select(rng.permutation(len(pairs))[: len(pairs) // 2])


def _check_held(held: LabelledPairs, encoder: Encoder, training: CacheTraining) -> None:
    """Refuse pairs too few to choose the bound on: by labels, then by vectors, before anything is fitted."""
    judged = held.select(np.arange(min(len(held), training.most_pairs)))
    check_enough_hits(int(judged.same.sum()), training.max_lost)
    right = judged.select(np.flatnonzero(judged.same))
    check_enough_hits(int((_cosines(right, encoder) >= training.hits_from).sum()), training.max_lost)


def _cosines(pairs: LabelledPairs, encoder: Encoder) -> NDArray[Any]:
    cosines: NDArray[Any] = np.einsum("ij,ij->i", encoder.encode(pairs.text_a), encoder.encode(pairs.text_b))
    return cosines


def _fitted_gate(
    prompts: Sequence[str],
    pairs: LabelledPairs | None,
    held: LabelledPairs | None,
    static: StaticEncoder,
    encoder: Encoder,
    training: CacheTraining,
    rng: np.random.Generator,
) -> GateEncoder:
    kept_away = set() if held is None else {*held.text_a, *held.text_b}
    of_pairs = [] if pairs is None else [*pairs.text_a, *pairs.text_b]
    texts = [text for text in dict.fromkeys([*prompts, *of_pairs]) if text not in kept_away]
    drawn = [texts[row] for row in rng.permutation(len(texts))[: training.most_texts]]
    return GateEncoder.fit(static, drawn, encoder.encode(drawn))


def _closed_gate(
    gate: GateEncoder, encoder: Encoder, held: LabelledPairs, training: CacheTraining
) -> tuple[GateBound | None, dict[str, Any]]:
    """Return where the gate closes, and what that saves and costs."""
    a, b = gate.encode(held.text_a), gate.encode(held.text_b)
    n = training.most_pairs
    similarity, same = np.einsum("ij,ij->i", a, b)[:n], held.same[:n]
    cosine = _cosines(held.select(np.arange(len(same))), encoder)
    hits = same & (cosine >= training.hits_from)
    bound = choose_gate_bound(similarity[hits], training.max_lost)
    # Lookups of the second texts among the first texts of other pairs: none of them is answered there.
    looked, others = b[:_LOOKUPS], a[_LOOKUPS:]
    curves = {
        "gate": {
            "true_hits": int(hits.sum()),
            "lost_of_all_same": float(np.mean(similarity[same] < bound.similarity)),
            "skipped_misses": {
                str(size): skipped_share(looked, others[:size], bound.similarity)
                for size in _SIZES
                if size <= len(others)
            },
        },
        "cosine": [
            {
                "from": threshold,
                "pairs": int((cosine >= threshold).sum()),
                "right": int((same & (cosine >= threshold)).sum()),
            }
            for threshold in _COSINES
        ],
    }
    return bound, curves


def _trained_verifier(
    pairs: LabelledPairs | None, encoder: Encoder, static: StaticEncoder, training: CacheTraining, progress: Progress
) -> tuple[TrainedVerifier, VerifierCurves] | tuple[None, None]:
    """Return the verifier and what it is worth, if there are pairs enough to learn one from."""
    if pairs is None:
        return None, None
    if len(pairs) > training.most_learnt:
        pairs = pairs.sample(training.most_learnt, np.random.default_rng(training.seed))
    if min(pairs.same.sum(), (~pairs.same).sum()) < LEAST_OF_EACH:
        return None, None
    verifier = TrainedVerifier.fit(pairs, encoder, static, TrainingConfig(seed=training.seed), progress)
    return verifier, verifier_curves(verifier, _cosines(pairs, encoder).astype(np.float64))


def _headline(bound: GateBound | None, curves: dict[str, Any], n_known: int) -> dict[str, float]:
    headline = {"known_texts": float(n_known)}
    if bound is not None:
        headline |= {"gate/bound": bound.similarity, "gate/max_lost": bound.max_lost}
        skipped = curves["gate"]["skipped_misses"].items()
        headline |= {f"gate/skipped_misses_of_{size}_entries": share for size, share in skipped}
    return headline


def _digest(prompts: Sequence[str], pairs: LabelledPairs | None) -> str:
    given = [list(prompts)] if pairs is None else [list(prompts), *pairs.text_a, *pairs.text_b, pairs.same.tolist()]
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()
