"""vCache's decision rule, written anew from its paper: a bound on correctness for every cached entry.

Schroeder et al., *vCache: Verified Semantic Prompt Caching* (arXiv 2502.03771). Each entry keeps (similarity, correct)
of the lookups whose true answer became known, and models P(correct | s) as 1 / (1 + exp(-g (s - t))). With t(e) the
upper 1 - e confidence bound of t, P(correct | s) is at least a(e) = (1 - e) / (1 + exp(-g (s - t(e)))), and a lookup is
answered anew with probability

    min over e of 1 - delta / (1 - a(e)),

so that wrong hits stay below delta of all lookups. An entry with fewer than six observations is never served.

Where the observations can be told apart by a threshold, the likelihood has no maximum; the paper takes a simulated
variance there. Here the slope has a weak prior (standard deviation 50), which keeps both finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LEAST_OBSERVATIONS", "Correctness", "StreamCounts", "run_stream"]

Floats = NDArray[np.float64]

LEAST_OBSERVATIONS: Final = 6
"""An entry with fewer is never served."""

_SLOPE_SD: Final = 50.0
_LEVEL_SD: Final = 50.0
_GRID: Final = np.linspace(1e-6, 1 - 1e-6, 50)
_QUANTILES: Final = np.array([NormalDist().inv_cdf(1 - e) for e in _GRID])


@dataclass(frozen=True)
class Correctness:
    """P(correct | similarity) of one entry, and how sure that is.

    Parameters
    ----------
    midpoint
        Similarity at which correct and wrong are equally likely.
    slope
        Above 0.
    midpoint_sd
        Standard error of the midpoint.
    """

    midpoint: float
    slope: float
    midpoint_sd: float

    @classmethod
    def fit(cls, similarities: ArrayLike, correct: ArrayLike) -> Correctness:
        """Return the fit by Newton's method; its error by the delta method."""
        s, y = np.asarray(similarities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
        X = np.column_stack([np.ones(len(s)), s])
        precision = np.diag([1.0 / _LEVEL_SD**2, 1.0 / _SLOPE_SD**2])
        beta = np.zeros(2)
        for _ in range(50):
            p = 1.0 / (1.0 + np.exp(-np.clip(X @ beta, -30, 30)))
            hessian = X.T @ (X * (p * (1 - p))[:, None]) + precision
            step = np.linalg.solve(hessian, X.T @ (y - p) - precision @ beta)
            size = float(np.abs(step).max())
            beta = beta + step * min(1.0, 10.0 / max(size, 1e-12))
            if size < 1e-8:
                break
        slope = max(float(beta[1]), 1e-6)
        gradient = np.array([-1.0 / slope, beta[0] / slope**2])
        variance = float(gradient @ np.linalg.inv(hessian) @ gradient)
        return cls(float(np.clip(-beta[0] / slope, 0.0, 1.0)), slope, float(np.sqrt(max(variance, 0.0))))

    def explore_probability(self, similarities: ArrayLike, delta: float) -> Floats:
        """Return (n,) probabilities with which lookups at these similarities are answered anew."""
        s = np.asarray(similarities, dtype=np.float64)
        bounds = np.clip(self.midpoint + _QUANTILES * self.midpoint_sd, 0.0, 1.0)
        correct = (1 - _GRID) / (1.0 + np.exp(-np.clip(self.slope * (s[:, None] - bounds), -50, 50)))
        explore: Floats = np.clip((1.0 - delta / np.maximum(1.0 - correct, 1e-12)).min(axis=1), 0.0, 1.0)
        return explore


@dataclass(frozen=True)
class StreamCounts:
    """What a stream of lookups came to.

    Parameters
    ----------
    n_lookups, n_hits, n_wrong
        Requests; those that were answered from the cache; of these, those with another question's answer.
    """

    n_lookups: int
    n_hits: int
    n_wrong: int


@dataclass
class _Entry:
    answer: int
    similarities: list[float] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)
    model: Correctness | None = None


def run_stream(
    vectors: NDArray[np.float32], answers: Sequence[int], delta: float, rng: np.random.Generator
) -> StreamCounts:
    """Return what the rule does on requests one after the other, from an empty cache on.

    A request that is answered anew teaches the entry it was compared with, and is kept when that entry was wrong, as in
    the paper.
    """
    kept = np.empty_like(vectors)
    entries: list[_Entry] = []
    hits = wrong = 0
    for vector, answer in zip(vectors, answers, strict=True):
        if entries:
            cosines = kept[: len(entries)] @ vector
            nearest = int(cosines.argmax())
            entry, similarity = entries[nearest], float(cosines[nearest])
            explore = 1.0
            if len(entry.correct) >= LEAST_OBSERVATIONS:
                if entry.model is None:
                    entry.model = Correctness.fit(entry.similarities, entry.correct)
                explore = float(entry.model.explore_probability([similarity], delta)[0])
            if rng.random() > explore:
                hits += 1
                wrong += entry.answer != answer
                continue
            entry.similarities.append(similarity)
            entry.correct.append(entry.answer == answer)
            entry.model = None
            if entry.answer == answer:
                continue
        kept[len(entries)] = vector
        entries.append(_Entry(answer))
    return StreamCounts(len(vectors), hits, wrong)
