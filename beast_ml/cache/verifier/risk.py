"""The threshold whose false hits stay within a share of all lookups: Learn-then-Test on labelled lookups.

A lookup is wrong when it is a hit and the answer served is not the right one; the false-hit rate is wrong / lookups
(vCache's definition). Lowering the threshold only adds hits, so the number of wrong hits grows along the sequence of
thresholds from the strictest to the loosest. Each is tested in this order ("the rate is above epsilon"), and the last
one before the first test that does not reject is used: a fixed sequence, so the family-wise error is that of one test
(Angelopoulos et al., *Learn then Test*, 2021). Because the sets of hits are nested, the p-values may be looked at for
every score there is, without a grid.

Two p-values are offered. Of the *rate in the long run*, the exact binomial one. Of the *rate among the next m
lookups*, the exact hypergeometric one: which of the n + m exchangeable lookups were labelled is a draw without
replacement, so k wrong ones among n speak about those among m without any model. The second is what somebody who
counts wrong hits in a test set of m lookups will see hold; it tends to the first as m grows.

Lookups that share a text are wrong together. Their wrong hits then count as fewer independent ones: counts are divided
by the design effect, sum of squares of the sizes of groups of wrong hits over the sum, where wrong hits that share a
text, directly or through others, are a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, lgamma, log, log1p
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beast_ml.cache.verifier.labelled import Groups
from beast_ml.errors import InputError

__all__ = [
    "RiskTarget",
    "Threshold",
    "binomial_p_value",
    "choose_threshold",
    "false_hit_bound",
    "hypergeometric_p_value",
]

_NEVER: Final = float("inf")


@dataclass(frozen=True)
class RiskTarget:
    """What is promised: a false-hit rate of at most epsilon, with confidence 1 - delta.

    Parameters
    ----------
    epsilon
        Wrong hits over lookups, inside (0, 1).
    delta
        Probability with which it may be broken, inside (0, 1).

    Raises
    ------
    InputError
        If one is not inside (0, 1).
    """

    epsilon: float
    delta: float = 0.02

    def __post_init__(self) -> None:
        for name, value in (("epsilon", self.epsilon), ("delta", self.delta)):
            if not 0.0 < value < 1.0:
                raise InputError(f"`{name}` == {value}, must be above 0 and below 1")


@dataclass(frozen=True)
class Threshold:
    """A threshold, and the evidence it rests on.

    Parameters
    ----------
    value
        Scores at or above it are hits; infinity where nothing may hit.
    target
        What was promised.
    n_lookups, n_hits, n_wrong
        Of the labelled lookups at this threshold.
    p_value
        Of "the rate is above epsilon" at this threshold; 1 where nothing may hit.
    design_effect
        By how much wrong hits are fewer than they look, 1 where they are independent.
    horizon
        Lookups ahead that the promise is about; None: the rate in the long run.
    """

    value: float
    target: RiskTarget
    n_lookups: int
    n_hits: int
    n_wrong: int
    p_value: float
    design_effect: float = 1.0
    horizon: int | None = None


def binomial_p_value(wrong: float, n: float, epsilon: float) -> float:
    """Return P(Binomial(n, epsilon) <= wrong): of "the rate is above epsilon" after that many wrong of n.

    Examples
    --------
    >>> round(binomial_p_value(0, 298, 0.01), 4)
    0.05
    """
    k, size = floor(wrong + 1e-9), max(floor(n), 0)
    if k >= size:
        return 1.0
    total = (
        _choose(size, np.arange(k + 1)) + np.arange(k + 1) * log(epsilon) + (size - np.arange(k + 1)) * log1p(-epsilon)
    )
    return min(_sum_exp(total), 1.0)


def hypergeometric_p_value(wrong: float, n: float, horizon: float, epsilon: float) -> float:
    """Return the p-value of "more than epsilon of the next ``horizon`` lookups are wrong" after that many wrong of n.

    Had the next m lookups just one wrong too many, K = wrong + floor(epsilon m) + 1 of the n + m would be wrong, and
    the labelled ones a draw of n out of n + m: the chance that at most ``wrong`` of the K were drawn.

    Examples
    --------
    >>> round(hypergeometric_p_value(0, 300, 300, 0.01), 3), round(hypergeometric_p_value(0, 300, 10**7, 0.01), 3)
    (0.062, 0.049)
    """
    k, size, ahead = floor(wrong + 1e-9), max(floor(n), 0), max(floor(horizon), 1)
    bad = k + floor(epsilon * horizon + 1e-9) + 1
    if bad > size + ahead or floor(epsilon * horizon + 1e-9) + 1 > ahead or k >= size:
        return 1.0
    drawn = np.arange(max(0, bad - ahead), min(k, size) + 1)
    chances = _choose(bad, drawn) + _choose(size + ahead - bad, size - drawn) - _choose(size + ahead, np.array([size]))
    return min(_sum_exp(chances), 1.0)


def false_hit_bound(wrong: int, n: int, delta: float) -> float:
    """Return the upper confidence bound (Clopper-Pearson, one-sided) of a rate after that many wrong of n."""
    if n == 0 or wrong >= n:
        return 1.0
    low, high = wrong / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_p_value(wrong, n, middle) > delta else (low, middle)
    return high


def choose_threshold(
    scores: ArrayLike,
    right: ArrayLike,
    target: RiskTarget,
    *,
    texts: ArrayLike | None = None,
    horizon: int | None = None,
) -> Threshold:
    """Return the loosest threshold that the labelled lookups allow.

    Parameters
    ----------
    scores
        (n,) score of what each lookup would be answered with; minus infinity where there is no candidate.
    right
        (n,) whether that answer would be right.
    target
        What is promised.
    texts
        (n, 2) numbers of the two texts of each lookup, to tell which are wrong together; None: they are independent.
    horizon
        Promise it of the next so many lookups; None: of the rate in the long run.

    Examples
    --------
    >>> scores, right = np.linspace(0, 1, 1000), np.linspace(0, 1, 1000) > 0.5
    >>> threshold = choose_threshold(scores, right, RiskTarget(0.01, 0.05))
    >>> round(threshold.value, 3), threshold.n_hits, threshold.n_wrong
    (0.496, 504, 4)
    """
    score, good = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    n = len(score)
    pairs = np.arange(2 * n).reshape(n, 2) if texts is None else np.asarray(texts, dtype=np.int64)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    bad = ~good[order] & np.isfinite(ranked)
    # Thresholds lie at scores; ties hit together, so a test is made at the last of each run of equal scores.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)) if n else np.zeros(0, int)
    wrong_so_far, squares = _cumulative(bad, pairs[order])
    best = Threshold(_NEVER, target, n, 0, 0, 1.0, 1.0, horizon)
    tested: dict[tuple[int, int], float] = {}
    for end in ends:
        wrong, square = int(wrong_so_far[end]), int(squares[end])
        if (wrong, square) not in tested:
            tested[wrong, square] = _p_value(wrong, square, n, horizon, target.epsilon)
        p_value = tested[wrong, square]
        if p_value > target.delta:
            break
        effect = square / wrong if wrong else 1.0
        best = Threshold(float(ranked[end]), target, n, int(end) + 1, wrong, p_value, effect, horizon)
    return best


def _p_value(wrong: int, square: int, n: int, horizon: int | None, epsilon: float) -> float:
    effect = square / wrong if wrong else 1.0
    if horizon is None:
        return binomial_p_value(wrong / effect, n / effect, epsilon)
    return hypergeometric_p_value(wrong / effect, n / effect, horizon / effect, epsilon)


def _cumulative(bad: NDArray[np.bool_], pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, at each rank, the wrong so far and the sum of squares of the sizes of their groups."""
    groups = Groups(int(pairs.max(initial=-1)) + 1)
    sizes: dict[int, int] = {}
    squares = np.zeros(len(bad), dtype=np.int64)
    for i in np.flatnonzero(bad).tolist():
        joined = {groups.of(int(text)) for text in pairs[i]}
        before = [sizes.pop(group, 0) for group in joined]
        groups.join(*pairs[i].tolist())
        size = sum(before) + 1
        sizes[groups.of(int(pairs[i, 0]))] = size
        squares[i] = size**2 - sum(part**2 for part in before)
    return np.cumsum(bad), np.cumsum(squares)


def _choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ln C(n, k)."""
    return np.array([lgamma(n + 1) - lgamma(j + 1) - lgamma(n - j + 1) for j in k.tolist()])


def _sum_exp(logs: NDArray[np.float64]) -> float:
    top = float(logs.max())
    return exp(top) * float(np.exp(logs - top).sum()) if np.isfinite(top) else 0.0
