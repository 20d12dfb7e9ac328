"""Few entries that are asked for again and again: where vCache's rule, entry by entry, has something to learn from.

Bank questions: some hundred are stored, all others are requests, and an entry is right for a request of its intent.
Half of the requests are known with their answers: vCache's rule gets them as observations of its entries, the verifier
learns and chooses its threshold on them. Hits are counted on the other half. Every method serves the nearest entry or
none; same embeddings, same splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.lookups import Lookups, cross_lookup_scores, fit_scores, prepare_lookups
from beast_ml.benchmarks.cache.pairs_part import promise
from beast_ml.benchmarks.cache.splits import EPSILONS, RATES
from beast_ml.benchmarks.cache.vcache import LEAST_OBSERVATIONS, Correctness
from beast_ml.cache.verifier.curves import Counts, hits_at_rates, interval
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.training import TrainingConfig
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["measure_entries"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DELTAS: Final = np.geomspace(0.001, 0.3, 40)


def measure_entries(
    texts: Sequence[str],
    answers: Ints,
    encoder: Encoder,
    static: StaticEncoder,
    folder: Path,
    n_splits: int,
    n_entries: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """Return hit rates at equal false-hit rates, and whether the promises hold, over random halves of the requests."""
    order = np.random.default_rng(seed).permutation(len(texts))
    stored, asked = order[:n_entries], order[n_entries:]
    lookups = prepare_lookups(
        "entries",
        [texts[i] for i in stored],
        [texts[i] for i in asked],
        answers[asked],
        answers[stored],
        encoder,
        static,
        folder,
        n_nearest=1,
    )
    config = TrainingConfig()
    at: dict[str, list[Floats]] = {"verifier": [], "cosine": [], "vcache": []}
    counts: dict[str, list[dict[float, Counts]]] = {"verifier": [], "cosine": []}
    theirs: list[dict[float, tuple[float, float]]] = []
    for i in range(n_splits):
        rng = np.random.default_rng([seed, i])
        halves = rng.permutation(len(lookups))
        train, test = halves[: len(halves) // 2], halves[len(halves) // 2 :]
        right = lookups.right[test, 0]
        on_train = {
            "verifier": cross_lookup_scores(lookups, train, config, rng)[:, 0],
            "cosine": lookups.cosines[train, 0],
        }
        on_test = {
            "verifier": fit_scores(lookups, train, test, config)[:, 0],
            "cosine": lookups.cosines[test, 0],
        }
        for name, scores in on_test.items():
            at[name].append(hits_at_rates(scores, right, RATES))
            found = {}
            for epsilon in EPSILONS:
                target = RiskTarget(epsilon)
                threshold = choose_threshold(on_train[name], lookups.right[train, 0], target, horizon=len(test))
                found[epsilon] = Counts.of(scores >= threshold.value, right)
            counts[name].append(found)
        hits, wrong = _vcache(lookups, train, test)
        at["vcache"].append(np.array([max(hits[wrong <= rate], default=0.0) for rate in RATES]))
        nearest = {epsilon: int(np.abs(_DELTAS - epsilon).argmin()) for epsilon in EPSILONS}
        theirs.append({epsilon: (float(hits[k]), float(wrong[k])) for epsilon, k in nearest.items()})
    return {
        "entries": n_entries,
        "requests": len(lookups),
        "nearest_is_right": float(lookups.right.mean()),
        "splits": n_splits,
        "promise": {name: promise(each) for name, each in counts.items()},
        "vcache_at_its_delta": {
            f"{epsilon:g}": {
                "hit_rate": float(np.mean([split[epsilon][0] for split in theirs])),
                "false_hit_rate": float(np.mean([split[epsilon][1] for split in theirs])),
            }
            for epsilon in EPSILONS
        },
        "hits_at_equal_entries": {
            f"{rate:g}": {
                **{
                    name: asdict(interval(float(np.mean(each, axis=0)[k]), np.array(each)[:, k]))
                    for name, each in at.items()
                },
                "gain": {
                    name: _ratio(np.array(at["verifier"])[:, k], np.array(at[name])[:, k])
                    for name in ("cosine", "vcache")
                },
            }
            for k, rate in enumerate(RATES)
        },
    }


def _ratio(ours: Floats, theirs: Floats) -> dict[str, float | None]:
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(theirs > 0, ours / theirs, np.nan)
        return asdict(interval(float(ours.mean() / theirs.mean()), each))


def _vcache(lookups: Lookups, train: Ints, test: Ints) -> tuple[Floats, Floats]:
    """Return expected hit rates and false-hit rates of vCache's rule along its delta."""
    hits, wrong = np.zeros(len(_DELTAS)), np.zeros(len(_DELTAS))
    entries, cosines, right = lookups.entries[:, 0], lookups.cosines[:, 0], lookups.right[:, 0]
    for entry in np.unique(entries[test]):
        seen, asked = train[entries[train] == entry], test[entries[test] == entry]
        if len(seen) < LEAST_OBSERVATIONS:
            continue
        model = Correctness.fit(cosines[seen], right[seen])
        for k, delta in enumerate(_DELTAS):
            serve = 1.0 - model.explore_probability(cosines[asked], float(delta))
            hits[k] += serve.sum()
            wrong[k] += serve[~right[asked]].sum()
    return hits / len(test), wrong / len(test)
