"""One random split of a set of pairs: learn and choose thresholds on one half, count hits on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.pair_sets import PreparedPairs
from beast_ml.cache.verifier.curves import Counts, hits_at_rates, resample
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.training import TrainingConfig, cross_scores, fit_scorer

__all__ = ["EPSILONS", "RATES", "SplitResult", "measure_split"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPSILONS: Final = (0.005, 0.01, 0.02)
"""Wrong hits over lookups that the training half is to allow."""

RATES: Final = (0.005, 0.01, 0.02, 0.05)
"""Wrong hits over lookups at which hit rates are compared."""

_RESAMPLES: Final = 50


@dataclass(frozen=True)
class SplitResult:
    """What one split gave.

    Parameters
    ----------
    n_train, n_test
        Pairs of the halves; pairs whose texts fall in both are in neither.
    counts
        By method and epsilon, at the threshold that the training half allows.
    hits_at
        By method, the hit rate at each of `RATES`, were the threshold chosen with the labels of the test half.
    resampled
        By method, (r, len(RATES)) the same on resamples of the test half, the same resamples for all methods.
    scores
        By method, those of the test half.
    right
        Which of its pairs are duplicates.
    """

    n_train: int
    n_test: int
    counts: Mapping[str, Mapping[float, Counts]]
    hits_at: Mapping[str, Floats]
    resampled: Mapping[str, Floats]
    scores: Mapping[str, Floats]
    right: NDArray[np.bool_]


def measure_split(
    prepared: PreparedPairs,
    rng: np.random.Generator,
    config: TrainingConfig,
    delta: float = 0.02,
    epsilons: Sequence[float] = EPSILONS,
) -> SplitResult:
    """Return what a verifier fitted on a random half of the texts does on the other, beside a fixed cosine."""
    pairs = prepared.pairs
    sides = pairs.text_parts(2, rng)[pairs.text_ids]
    train, test = (np.flatnonzero((sides == side).all(axis=1)) for side in (0, 1))
    known = set(pairs.select(train).texts)
    # Changed texts of the training half alone: their originals are the first of each pair.
    more = np.array([i for i, text in enumerate(prepared.changed.text_a) if text in known], dtype=np.int64)
    more = more[: int(config.variants * len(train))]
    learning, added = pairs.select(train), prepared.changed.select(more)
    rows, added_rows = prepared.rows[train], prepared.changed_rows[more]
    calibration = cross_scores(learning, rows, added, added_rows, config, rng)
    scorer = fit_scorer(
        np.concatenate([rows, added_rows]),
        np.concatenate([learning.same, added.same]),
        np.concatenate([np.ones(len(rows)), np.full(len(more), config.variant_weight)]),
        config,
    )
    held_out = pairs.select(test)
    on_train = {"verifier": calibration, "cosine": prepared.cosines[train]}
    scores = {
        "verifier": scorer.score(prepared.rows[test]),
        "cosine": prepared.cosines[test],
    }
    counts: dict[str, dict[float, Counts]] = {}
    for name, of_test in scores.items():
        counts[name] = {}
        for epsilon in epsilons:
            threshold = choose_threshold(
                on_train[name],
                learning.same,
                RiskTarget(epsilon, delta),
                texts=learning.text_ids,
                horizon=len(test),
            )
            counts[name][epsilon] = Counts.of(of_test >= threshold.value, held_out.same)
    weights = resample(held_out.components, held_out.text_ids, _RESAMPLES, rng).weights
    return SplitResult(
        len(train),
        len(test),
        counts,
        {name: hits_at_rates(of_test, held_out.same, RATES) for name, of_test in scores.items()},
        {
            name: np.array([hits_at_rates(of_test, held_out.same, RATES, weight) for weight in weights])
            for name, of_test in scores.items()
        },
        scores,
        held_out.same,
    )
