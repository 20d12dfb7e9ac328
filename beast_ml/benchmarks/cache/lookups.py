"""Lookups among many entries: the mock set of GPTCache, and any other set of entries and requests.

Each request is compared with its nearest entries; the one with the best score is served when the score reaches the
threshold. Most entries are near and wrong, which pairs alone do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.pair_sets import FEATURE_CODE
from beast_ml.benchmarks.results import code_digest, result_key, write_arrays
from beast_ml.cache.verifier.curves import Counts
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.profile import ProfileReader, Rarity
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.training import TrainingConfig, features_of, fit_scorer
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = [
    "Lookups",
    "best_of",
    "cross_lookup_scores",
    "fit_scores",
    "measure_lookup_split",
    "prepare_lookups",
    "right_wrong_miss",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Lookups:
    """n requests with the k nearest entries of each.

    Parameters
    ----------
    entries
        (n, k) places of the nearest entries, nearest first.
    rows
        (n, k, d) features of the pairs.
    cosines
        (n, k).
    right
        (n, k) whether the entry is the right one.
    answers
        (n,) which answer each request wants.
    entry_answers
        Which answer each entry has.
    """

    entries: Ints
    rows: NDArray[np.float32]
    cosines: Floats
    right: NDArray[np.bool_]
    answers: Ints
    entry_answers: Ints

    def __len__(self) -> int:
        return len(self.entries)

    def confused(self, requests: Ints, scores: Floats) -> Ints:
        """Return (r, 2) the answers that some requests want, and get: wrong ones come in clusters.

        Two entries that say nearly the same are taken for each other, by the requests of both.
        """
        served = np.take_along_axis(self.entries[requests], scores.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.column_stack([self.answers[requests], self.entry_answers[served]])


def prepare_lookups(
    name: str,
    entries: Sequence[str],
    requests: Sequence[str],
    answers: Ints,
    entry_answers: Ints,
    encoder: Encoder,
    static: StaticEncoder,
    folder: Path,
    n_nearest: int = 5,
    progress: Progress = lambda _what, _done, _total: None,
) -> Lookups:
    """Return lookups made ready; an entry is right for a request when it has the answer that the request wants."""
    stored, asked = encoder.encode(entries), encoder.encode(requests)
    cosines = asked @ stored.T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :n_nearest]
    texts = np.array(entries, dtype=object)
    right = entry_answers[nearest] == answers[:, None]
    key = result_key(
        {
            "texts": [*entries, *requests],
            "nearest": n_nearest,
            "encoder": encoder.hash,
            "static": static.hash,
            "code": code_digest(FEATURE_CODE),
        }
    )
    path = folder / f"lookups-{name}-{key}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored_rows:
            rows = stored_rows["rows"]
    else:
        reader = ProfileReader(static, Rarity.learn([*entries, *requests]))
        pairs = LabelledPairs(
            tuple(text for text in requests for _ in range(n_nearest)),
            tuple(str(text) for text in texts[nearest].ravel()),
            right.ravel(),
        )
        rows = features_of(reader, pairs, encoder, progress)
        write_arrays(path, rows=rows)
    return Lookups(
        nearest.astype(np.int64),
        rows.reshape(len(requests), n_nearest, -1),
        np.take_along_axis(cosines, nearest, axis=1).astype(np.float64),
        right.astype(bool),
        answers,
        entry_answers,
    )


def fit_scores(lookups: Lookups, learn: Ints, score: Ints, config: TrainingConfig) -> Floats:
    """Return (len(score), k) scores by a scorer fitted on the candidates of other requests (``learn``)."""
    d = lookups.rows.shape[2]
    rows, right = lookups.rows[learn].reshape(-1, d), lookups.right[learn].ravel()
    scorer = fit_scorer(rows, right, np.ones(len(rows)), config)
    return scorer.score(lookups.rows[score].reshape(-1, d)).reshape(len(score), -1)


def cross_lookup_scores(lookups: Lookups, rows: Ints, config: TrainingConfig, rng: np.random.Generator) -> Floats:
    """Return (len(rows), k) scores of some requests, each by a scorer that did not see the request."""
    out = np.empty((len(rows), lookups.entries.shape[1]))
    n_folds = config.folds_of(len(rows))
    folds = rng.permutation(np.arange(len(rows)) % n_folds)
    for fold in range(n_folds):
        out[folds == fold] = fit_scores(lookups, rows[folds != fold], rows[folds == fold], config)
    return out


def best_of(scores: Floats, right: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the best score of each request, and whether its entry is the right one."""
    best = scores.argmax(axis=1)[:, None]
    return np.take_along_axis(scores, best, axis=1)[:, 0], np.take_along_axis(right, best, axis=1)[:, 0]


def measure_lookup_split(
    lookups: Lookups,
    rng: np.random.Generator,
    config: TrainingConfig,
    epsilons: Sequence[float],
    delta: float = 0.02,
) -> dict[str, dict[float, Counts]]:
    """Return hits and false hits on a random half of the requests, with all learnt from the other, by method."""
    order = rng.permutation(len(lookups))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    on_train = {"verifier": cross_lookup_scores(lookups, train, config, rng), "cosine": lookups.cosines[train]}
    on_test = {
        "verifier": best_of(fit_scores(lookups, train, test, config), lookups.right[test]),
        "cosine": best_of(lookups.cosines[test], lookups.right[test]),
    }
    counts: dict[str, dict[float, Counts]] = {}
    for name, (scores, right) in on_test.items():
        counts[name] = {}
        for epsilon in epsilons:
            threshold = choose_threshold(
                *best_of(on_train[name], lookups.right[train]),
                RiskTarget(epsilon, delta),
                texts=lookups.confused(train, on_train[name]),
                horizon=len(test),
            )
            counts[name][epsilon] = Counts.of(scores >= threshold.value, right)
    return counts


def right_wrong_miss(scores: Floats, right: NDArray[np.bool_], threshold: float) -> tuple[int, int, int]:
    """Return how many requests get the right entry, a wrong one, and none."""
    hit = scores >= threshold
    return int((hit & right).sum()), int((hit & ~right).sum()), int((~hit).sum())
