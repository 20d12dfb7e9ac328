"""The pairs of `beast bench cache`: does the promise hold, and how many hits are left.

Random splits of each set by text: learn on one half, choose thresholds there, count on the other. For each epsilon
the share of splits whose false-hit rate is within it, and the hits beside a fixed cosine at equal false-hit rates.
GPTCache ranks by the same cosine (`gptcache.py` asks its code), so its curve is the fixed cosine's, and its default
threshold one point of it. vCache's rule, with one model for all entries, is measured along its own delta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.gptcache import DEFAULT_THRESHOLD, gptcache_answers
from beast_ml.benchmarks.cache.lookups import (
    best_of,
    cross_lookup_scores,
    measure_lookup_split,
    prepare_lookups,
    right_wrong_miss,
)
from beast_ml.benchmarks.cache.pair_sets import PreparedPairs, adversarial_kinds
from beast_ml.benchmarks.cache.splits import EPSILONS, RATES, SplitResult, measure_split
from beast_ml.benchmarks.cache.vcache import Correctness
from beast_ml.cache.verifier.curves import Counts, interval
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.training import TrainingConfig, fit_scorer
from beast_ml.errors import MissingExtraError
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["GPTCACHE_PUBLISHED", "measure_adversarial", "measure_mock", "measure_pair_set"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]

GPTCACHE_PUBLISHED: Final = {0.95: (425, 25, 549), 0.9: (804, 77, 118), 0.8: (904, 92, 3)}
"""GPTCache's own figures on its mock set (its ``examples/README``): threshold -> right, wrong, miss of 999."""

_BENCH: Final = TrainingConfig()


def measure_pair_set(
    prepared: PreparedPairs, n_splits: int, seed: int = 0, say: Say = lambda _: None
) -> dict[str, Any]:
    """Return the figures of one set of pairs over random splits."""
    splits = []
    for i in range(n_splits):
        splits.append(measure_split(prepared, np.random.default_rng([seed, i]), _BENCH))
        say(f"{prepared.name}: split {i + 1} of {n_splits}")
    return {
        "set": prepared.name,
        "pairs": len(prepared),
        "same": int(prepared.pairs.same.sum()),
        "splits": n_splits,
        "pairs_a_half": float(np.mean([split.n_test for split in splits])),
        "promise": {name: promise([split.counts[name] for split in splits]) for name in ("verifier", "cosine")},
        "hits_at_equal_rates": hits_at_equal_rates(splits),
    }


def promise(counts: Sequence[Mapping[float, Counts]]) -> dict[str, Any]:
    """Return, for each epsilon, in how many splits it was kept and what was hit."""
    out: dict[str, Any] = {}
    for epsilon in counts[0]:
        each = [split[epsilon] for split in counts]
        rates = np.array([one.n_wrong / one.n_lookups for one in each])
        hits = np.array([one.n_hits / one.n_lookups for one in each])
        n_hits = sum(one.n_hits for one in each)
        kept = int((rates <= epsilon + 1e-12).sum())
        out[f"{epsilon:g}"] = {
            "kept": kept,
            "splits": len(each),
            "share_kept": kept / len(each),
            "false_hit_rate": asdict(interval(float(rates.mean()), rates)),
            "hit_rate": asdict(interval(float(hits.mean()), hits)),
            "wrong_among_hits": sum(one.n_wrong for one in each) / n_hits if n_hits else None,
        }
    return out


def hits_at_equal_rates(splits: Sequence[SplitResult]) -> dict[str, Any]:
    """Return hit rates at equal false-hit rates, and the verifier's hits over the cosine's, with intervals.

    A split's resamples stand for its test half, the splits for what was learnt: quantiles over both together.
    """
    out: dict[str, Any] = {}
    for at, rate in enumerate(RATES):
        means = {name: float(np.mean([split.hits_at[name][at] for split in splits])) for name in splits[0].hits_at}
        drawn = {name: np.concatenate([split.resampled[name][:, at] for split in splits]) for name in splits[0].hits_at}
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(drawn["cosine"] > 0, drawn["verifier"] / drawn["cosine"], np.nan)
        ratio = means["verifier"] / means["cosine"] if means["cosine"] else float("nan")
        out[f"{rate:g}"] = {
            **{name: asdict(interval(means[name], drawn[name])) for name in means},
            "gain": asdict(interval(ratio, ratios)),
        }
        pooled = [_pooled_vcache(split, rate) for split in splits]
        out[f"{rate:g}"]["vcache_pooled"] = float(np.mean(pooled))
    return out


def _pooled_vcache(split: SplitResult, rate: float) -> float:
    """Return the most expected hits of vCache's rule within an expected false-hit rate.

    One model for all entries, and it is fitted on the test half itself: no stream could do better.
    """
    cosines, right = split.scores["cosine"], split.right
    model = Correctness.fit(cosines, right)
    best = 0.0
    for delta in np.geomspace(rate / 10, min(rate * 10, 0.9), 25):
        serve = 1.0 - model.explore_probability(cosines, float(delta))
        if (serve * ~right).mean() <= rate:
            best = max(best, float(serve.mean()))
    return best


def measure_mock(
    pairs: LabelledPairs,
    encoder: Encoder,
    static: StaticEncoder,
    folder: Path,
    n_splits: int,
    *,
    peers: bool,
    seed: int = 0,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Return the figures of the mock set: insert every ``text_a``, look up every ``text_b``.

    Every request is scored by a verifier that did not learn from it (folds of the requests).
    """
    entries, requests = list(pairs.text_a), list(pairs.text_b)
    # The answer to a text is the text, so entries with equal texts are equally right.
    answers = np.unique(np.array(entries, dtype=str), return_inverse=True)[1].astype(np.int64)
    lookups = prepare_lookups("mock", entries, requests, answers, answers, encoder, static, folder)
    splits = [
        measure_lookup_split(lookups, np.random.default_rng([seed, i]), _BENCH, EPSILONS) for i in range(n_splits)
    ]
    say(f"mock: {n_splits} splits")
    rng = np.random.default_rng(seed)
    scored = {
        "verifier": best_of(cross_lookup_scores(lookups, np.arange(len(lookups)), _BENCH, rng), lookups.right),
        "cosine": best_of(lookups.cosines, lookups.right),
    }
    out: dict[str, Any] = {
        "lookups": len(lookups),
        "nearest_is_right": float(lookups.right[:, 0].mean()),
        "right_is_among_nearest": float(lookups.right.any(axis=1).mean()),
        "promise": {name: promise([split[name] for split in splits]) for name in ("verifier", "cosine")},
        "published_gptcache": {f"{at:g}": list(counts) for at, counts in GPTCACHE_PUBLISHED.items()},
        "right_with_at_most_wrong": {
            name: {str(wrong): _most_right(*one, wrong) for wrong in (5, 10, 25, 77)} for name, one in scored.items()
        },
        "wrong_with_at_least_right": {
            name: {str(right): _least_wrong(*one, right) for right in (425, 804, 904)} for name, one in scored.items()
        },
    }
    if peers:
        out["gptcache_here"] = _mock_gptcache(entries, requests, encoder, say)
    return out


def _most_right(scores: Floats, right: NDArray[np.bool_], wrong: int) -> int:
    thresholds = np.unique(scores)
    found = [right_wrong_miss(scores, right, threshold)[:2] for threshold in thresholds]
    return max((n_right for n_right, n_wrong in found if n_wrong <= wrong), default=0)


def _least_wrong(scores: Floats, right: NDArray[np.bool_], at_least: int) -> int | None:
    thresholds = np.unique(scores)
    found = [right_wrong_miss(scores, right, threshold)[:2] for threshold in thresholds]
    return min((n_wrong for n_right, n_wrong in found if n_right >= at_least), default=None)


def _mock_gptcache(entries: list[str], requests: list[str], encoder: Encoder, say: Say) -> dict[str, Any] | None:
    vectors = dict(zip([*entries, *requests], encoder.encode([*entries, *requests]), strict=True))
    thresholds = (*GPTCACHE_PUBLISHED, 0.97)
    try:
        answers = gptcache_answers(entries, requests, vectors.__getitem__, thresholds)
    except MissingExtraError as error:
        say(f"warning: GPTCache is left out: {error}")
        return None
    out: dict[str, Any] = {"default_threshold": DEFAULT_THRESHOLD}
    for threshold, found in answers.items():
        right = sum(place is not None and entries[place] == entries[i] for i, place in enumerate(found))
        miss = sum(place is None for place in found)
        out[f"{threshold:g}"] = [right, len(found) - right - miss, miss]
    return out


def measure_adversarial(
    learnt: Sequence[PreparedPairs], adversarial: PreparedPairs, n_splits: int, seed: int = 0
) -> dict[str, Any]:
    """Return the figures of the adversarial pairs, for a verifier learnt from public sets and never from them.

    For each epsilon a threshold is chosen on a random half of the adversarial pairs and counted on the other.
    """
    from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold

    rows = np.concatenate([one for each in learnt for one in (each.rows, each.changed_rows)])
    same = np.concatenate([one for each in learnt for one in (each.pairs.same, each.changed.same)])
    weights = np.concatenate(
        [one for each in learnt for one in (np.ones(len(each.rows)), np.full(len(each.changed_rows), 0.5))]
    )
    scorer = fit_scorer(rows, same, weights, _BENCH)
    scores = {"verifier": scorer.score(adversarial.rows), "cosine": adversarial.cosines}
    pairs, n = adversarial.pairs, len(adversarial)
    by_split: dict[str, list[dict[float, Counts]]] = {name: [] for name in scores}
    for i in range(n_splits):
        sides = pairs.text_parts(2, np.random.default_rng([seed, i]))[pairs.text_ids[:, 0]]
        train, test = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
        for name, each in scores.items():
            found = {}
            for epsilon in (*EPSILONS, 0.05, 0.1):
                threshold = choose_threshold(
                    each[train],
                    pairs.same[train],
                    RiskTarget(epsilon, 0.02),
                    texts=pairs.text_ids[train],
                    horizon=len(test),
                )
                found[epsilon] = Counts.of(each[test] >= threshold.value, pairs.same[test])
            by_split[name].append(found)
    kinds = np.array(adversarial_kinds())
    return {
        "pairs": n,
        "same": int(pairs.same.sum()),
        "auc": {name: _auc(each, pairs.same) for name, each in scores.items()},
        "auc_by_kind": {
            kind: {name: _auc(each[kinds == kind], pairs.same[kinds == kind]) for name, each in scores.items()}
            for kind in sorted(set(kinds.tolist()) - {"paraphrase"})
        },
        "promise": {name: promise(found) for name, found in by_split.items()},
        "served_right_at_wrong": {
            name: {str(wrong): _most_right(each, pairs.same, wrong) for wrong in (0, 2, 5, 10, 20)}
            for name, each in scores.items()
        },
    }


def _auc(scores: Floats, right: NDArray[np.bool_]) -> float:
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    n_right = int(right.sum())
    return float((ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * (len(right) - n_right)))
