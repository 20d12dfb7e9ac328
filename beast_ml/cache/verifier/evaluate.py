"""Fit on labelled pairs, decide on others, and say what that is worth.

Each pair is a lookup: one text is the request, the other the entry that the index returned for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.curves import Counts, hits_at_rates, interval, resample
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.risk import RiskTarget, Threshold, choose_threshold, design_effect, false_hit_bound
from beast_ml.cache.verifier.training import FittedVerifier, TrainingConfig, fit_verifier
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["Method", "PairDecisions", "PairPeer", "decide_pairs", "report_of"]

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

PairPeer = Callable[[LabelledPairs, Floats, Floats], "Method"]
"""Given training pairs, their cosines and those of the pairs to decide on: what somebody else's cache would do."""

RATES: Final = (0.005, 0.01, 0.02, 0.05)
_RESAMPLES: Final = 500


@dataclass(frozen=True)
class Method:
    """A way to decide, and what it decided.

    Parameters
    ----------
    scores
        (n,) the higher, the sooner a hit.
    hit
        (n,) decisions at its threshold.
    note
        Where the threshold comes from.
    randomised
        Expected (hit rate, false-hit rate) along its own dial, for one that draws; None for thresholds on ``scores``.
    """

    scores: Floats
    hit: NDArray[np.bool_]
    note: str
    randomised: Callable[[NDArray[np.bool_]], tuple[Floats, Floats]] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PairDecisions:
    """Decisions on pairs whose labels have not been read.

    Parameters
    ----------
    fitted
        The verifier, and its scores of the training pairs.
    threshold
        Of the verifier.
    methods
        ``verifier`` first, then those it is compared with.
    """

    fitted: FittedVerifier
    threshold: Threshold
    methods: Mapping[str, Method]

    @property
    def ours(self) -> Method:
        """What the verifier decided."""
        return self.methods["verifier"]


def decide_pairs(
    train: LabelledPairs,
    text_a: Sequence[str],
    text_b: Sequence[str],
    encoder: Encoder,
    static: StaticEncoder,
    target: RiskTarget,
    *,
    config: TrainingConfig | None = None,
    peers: Mapping[str, PairPeer] | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> PairDecisions:
    """Return decisions on pairs of texts, from a verifier and a threshold that know the training pairs alone.

    Of the pairs to decide on, only the texts are used, and how many there are: the promise is about their false-hit
    rate as it will be counted.

    Raises
    ------
    NotEnoughDataError
        If the training pairs are too few.
    """
    fitted = fit_verifier(train, encoder, static, config, progress=progress)
    horizon = len(text_a)
    threshold = choose_threshold(fitted.scores, train.same, target, texts=train.text_ids, horizon=horizon)
    vectors_a, vectors_b = encoder.encode(text_a), encoder.encode(text_b)
    scores = _in_blocks(fitted, text_a, text_b, vectors_a, vectors_b, progress)
    ids, known = train.text_ids, encoder.encode(train.texts)
    train_cosines = np.einsum("ij,ij->i", known[ids[:, 0]], known[ids[:, 1]]).astype(np.float64)
    cosines = np.einsum("ij,ij->i", vectors_a, vectors_b).astype(np.float64)
    fixed = choose_threshold(train_cosines, train.same, target, texts=train.text_ids, horizon=horizon)
    methods = {
        "verifier": Method(scores, scores >= threshold.value, "threshold from the training pairs, by risk control"),
        "cosine": Method(cosines, cosines >= fixed.value, "threshold from the training pairs, by risk control"),
    }
    for name, peer in (peers or {}).items():
        methods[name] = peer(train, train_cosines, cosines)
    return PairDecisions(fitted, threshold, methods)


def _in_blocks(
    fitted: FittedVerifier,
    text_a: Sequence[str],
    text_b: Sequence[str],
    vectors_a: NDArray[np.float32],
    vectors_b: NDArray[np.float32],
    progress: Progress,
    size: int = 200,
) -> Floats:
    parts = [np.zeros(0)]
    for start in range(0, len(text_a), size):
        block = slice(start, start + size)
        parts.append(fitted.verifier.score(text_a[block], text_b[block], vectors_a[block], vectors_b[block]))
        progress("deciding", min(start + size, len(text_a)), len(text_a))
    return np.concatenate(parts)


def report_of(
    decisions: PairDecisions, train: LabelledPairs, tested: LabelledPairs | None, rng: np.random.Generator
) -> dict[str, Any]:
    """Return everything there is to say, as plain values; what needs labels is left out where there are none."""
    threshold, target = decisions.threshold, decisions.threshold.target
    report: dict[str, Any] = {
        "epsilon": target.epsilon,
        "delta": target.delta,
        "threshold": {**asdict(threshold), "value": threshold.value if isfinite(threshold.value) else None},
        "train": {"pairs": len(train), "texts": len(train.texts), "same": int(train.same.sum())},
        "verifier": {
            "hash": decisions.fitted.verifier.hash,
            "trees": len(decisions.fitted.verifier.scorer.forest.roots),
        },
        "decided": {name: {"hits": int(method.hit.sum())} for name, method in decisions.methods.items()},
    }
    if tested is None:
        return report
    resampling = resample(tested.components, tested.text_ids, _RESAMPLES, rng)
    weights = resampling.weights
    report["resampling"] = resampling.description
    report["test"] = {"pairs": len(tested), "texts": len(tested.texts), "same": int(tested.same.sum())}
    report["methods"] = {name: _measured(method, tested, weights, target) for name, method in decisions.methods.items()}
    report["gain"] = _gains(decisions.methods, tested.same, weights)
    return report


def _measured(method: Method, tested: LabelledPairs, weights: Floats, target: RiskTarget) -> dict[str, Any]:
    right = tested.same
    counts = Counts.of(method.hit, right)
    effect = design_effect(method.hit, right, tested.text_ids)
    wrong, hit = method.hit & ~right, method.hit
    totals = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong_share = (weights @ wrong) / (weights @ hit)
    rate = counts.n_wrong / counts.n_lookups
    return {
        **asdict(counts),
        "note": method.note,
        "hit_rate": asdict(interval(hit.mean(), weights @ hit / totals)),
        "false_hit_rate": asdict(interval(rate, weights @ wrong / totals)),
        "false_hit_rate_bound": false_hit_bound(counts.n_wrong / effect, counts.n_lookups / effect, 0.05),
        "design_effect": effect,
        "wrong_among_hits": asdict(interval(counts.n_wrong / counts.n_hits if counts.n_hits else np.nan, wrong_share)),
        "within_epsilon": rate <= target.epsilon,
        "hit_rate_at": {f"{at:g}": value for at, value in zip(RATES, _along(method, right), strict=True)},
        "auc": _auc(method.scores, right),
    }


def _along(method: Method, right: NDArray[np.bool_], weights: Floats | None = None) -> list[float]:
    """Return the hit rates at `RATES`."""
    if method.randomised is None:
        return [float(value) for value in hits_at_rates(method.scores, right, RATES, weights)]
    hits, wrong = method.randomised(right)
    return [float(max(hits[wrong <= rate], default=0.0)) for rate in RATES]


def _gains(methods: Mapping[str, Method], right: NDArray[np.bool_], weights: Floats) -> dict[str, Any]:
    """Return hits of the verifier over hits of each other method at equal false-hit rates, with paired intervals."""
    ours = np.array([_along(methods["verifier"], right), *(_along(methods["verifier"], right, w) for w in weights)])
    gains: dict[str, Any] = {}
    for name, method in methods.items():
        if name == "verifier" or method.randomised is not None:
            continue
        theirs = np.array([_along(method, right), *(_along(method, right, w) for w in weights)])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(theirs > 0, ours / theirs, np.nan)
        gains[name] = {f"{rate:g}": asdict(interval(ratio[0, i], ratio[1:, i])) for i, rate in enumerate(RATES)}
    return gains


def _auc(scores: Floats, right: NDArray[np.bool_]) -> float | None:
    """Return the chance that a right pair scores above a wrong one."""
    n_right = int(right.sum())
    if not 0 < n_right < len(right):
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * (len(right) - n_right)))
