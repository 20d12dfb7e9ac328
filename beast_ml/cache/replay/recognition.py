"""What tells, in a replay, that two texts ask the same: gate, encoder, neighbours, verifier, threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.embedding.gate import GateBound, GateEncoder, choose_gate_bound
from beast_ml.cache.verifier.labelled import Groups, LabelledPairs
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget, Threshold
from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.cache.verifier.trained import N_CANDIDATES, TrainedVerifier
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["LearntRecognition", "PairScores", "Recognition", "learn_recognition"]

_GATE_TEXTS: Final = 5_000
_MOST_LOST: Final = 0.02
_HITS_FROM: Final = 0.8
"""Cosine from which on a pair counts as a hit that the gate could lose, as in `beast_ml.cache.training`."""


class PairScores:
    """A verifier that scores no pair twice: in several replays of one stream the same pairs meet again and again.

    Parameters
    ----------
    verifier
        Scores pairs.
    encoder
        That of the verifier; one that remembers, for it is asked for every text of a pair.
    """

    def __init__(self, verifier: Verifier, encoder: Encoder) -> None:
        self._verifier, self._encoder = verifier, encoder
        self._known: dict[tuple[str, str], float] = {}

    def of(self, text: str, others: Sequence[str]) -> NDArray[np.float64]:
        """Return (n,) scores of a text with n others."""
        pairs = [(text, other) if text <= other else (other, text) for other in others]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            a, b = [pair[0] for pair in new], [pair[1] for pair in new]
            scores = self._verifier.score(a, b, self._encoder.encode(a), self._encoder.encode(b))
            self._known.update(zip(new, scores.tolist(), strict=True))
        return np.array([self._known[pair] for pair in pairs])


@dataclass(frozen=True)
class Recognition:
    """The semantic part of a cache, as a replay puts it together.

    Parameters
    ----------
    static, encoder
        The quick encoder of the gate, and the good one; ones that remember make a replay quick.
    gate
        Static similarity below which there is no neighbour worth looking for; -1: it is always looked.
    scores
        What the verifier says of pairs.
    thresholds
        Returns the thresholds of scores as they begin in a replay.
    """

    static: Encoder
    encoder: Encoder
    gate: float
    scores: PairScores
    thresholds: Callable[[], PartitionThresholds]


@dataclass(frozen=True)
class LearntRecognition:
    """A recognition, and the evidence it rests on.

    Parameters
    ----------
    recognition
        To be replayed.
    threshold
        Of the verifier, where it begins.
    bound
        Of the gate, as it was chosen.
    n_pairs
        Labelled pairs it was all learnt from.
    """

    recognition: Recognition
    threshold: Threshold
    bound: GateBound
    n_pairs: int


def learn_recognition(
    pairs: LabelledPairs,
    encoder: Encoder,
    static: StaticEncoder,
    epsilon: float = 0.01,
    audit_share: float = 0.05,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> LearntRecognition:
    """Return a verifier, its threshold and a gate, learnt from labelled pairs as for serving.

    The verifier and the gate are fitted on one half of the pairs, threshold and bound chosen on the other.

    Parameters
    ----------
    pairs
        Labelled; none of them is to be asked in the replay.
    encoder, static
        MiniLM, which had better remember its vectors, and the static table.
    epsilon
        Wrong hits over lookups that are promised, with confidence.
    audit_share
        Share of hits and near misses that is verified.
    seed
        Of everything that is drawn.
    progress
        Called with (what, done, total).

    Raises
    ------
    NotEnoughDataError
        If there are too few pairs for the verifier or the gate.
    MissingExtraError
        If LightGBM or scikit-learn is not installed.
    """
    from beast_ml.cache.verifier.training import TrainingConfig, fit_verifier

    rng = np.random.default_rng(seed)
    encoder.encode(pairs.texts)
    known = pairs.text_parts(2, rng)[pairs.text_ids]  # connected texts lie on one side
    learnt = pairs.select(np.flatnonzero((known == 0).all(axis=1)))
    held = pairs.select(np.flatnonzero((known == 1).all(axis=1)))
    # Two folds: the scores that they give are not used.
    verifier = fit_verifier(learnt, encoder, static, TrainingConfig(n_folds=2, seed=seed), progress).verifier
    scores = PairScores(verifier, encoder)
    trained = _evidence(verifier, held, encoder, scores)
    target = RiskTarget(epsilon)
    texts = learnt.texts[:_GATE_TEXTS]
    gate = GateEncoder.fit(static, texts, encoder.encode(texts))
    similarity = np.einsum("ij,ij->i", gate.encode(held.text_a), gate.encode(held.text_b))
    cosine = np.einsum("ij,ij->i", encoder.encode(held.text_a), encoder.encode(held.text_b))
    bound = choose_gate_bound(similarity[held.same & (cosine >= _HITS_FROM)], _MOST_LOST)

    def thresholds() -> PartitionThresholds:
        return trained.thresholds(target, audit_share)

    recognition = Recognition(StoredVectors(gate), encoder, bound.similarity, scores, thresholds)
    start = trained.threshold(RiskTarget(epsilon / 2))
    return LearntRecognition(recognition, start, bound, len(pairs))


def _evidence(verifier: Verifier, pairs: LabelledPairs, encoder: Encoder, scores: PairScores) -> TrainedVerifier:
    """Return the evidence of lookups as a cache makes them: the first texts are stored, the others are asked.

    A lookup is right if a chain of pairs that are labelled the same leads from it to the entry served; one that nobody
    labelled counts as wrong.
    """
    groups = Groups(len(pairs.texts))
    for (a, b), same in zip(pairs.text_ids.tolist(), pairs.same.tolist(), strict=True):
        if same:
            groups.join(a, b)
    stored = np.unique(pairs.text_ids[:, 0])
    asked = np.setdiff1d(pairs.text_ids[:, 1], stored)
    vectors = encoder.encode(pairs.texts)
    best, right, both = [], [], []
    for each in asked.tolist():
        near = stored[np.argsort(-(vectors[stored] @ vectors[each]), kind="stable")[:N_CANDIDATES]]
        found = scores.of(pairs.texts[each], [pairs.texts[one] for one in near])
        entry = int(near[int(np.argmax(found))])
        best.append(float(found.max()))
        right.append(groups.of(entry) == groups.of(each))
        both.append((each, entry))
    return TrainedVerifier(
        verifier, np.array(best), np.array(right, dtype=bool), np.array(both, dtype=np.int64).reshape(-1, 2)
    )
