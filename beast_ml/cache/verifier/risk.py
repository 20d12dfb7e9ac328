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

Lookups that share a text may be wrong together, and count as fewer independent ones: counts are divided by the design
effect, the larger of two. Of the *wrong hits*, what was seen: the sum of squares of the sizes of their groups over the
sum, where wrong hits that share a text, directly or through others, are a group. Of *all hits*, what may not have been
seen yet: 1 and the mean number of other hits that share a text with one. It is Kish's effect with a correlation of 1
within a text: an entry whose answer is wrong is wrong for all that are served it, and while nothing is wrong no smaller
correlation can be told from that one. Fifty entries with twenty wordings each are fifty lookups then. It assumes that
lookups without a text in common are independent. A threshold that could not pass even with nothing wrong is passed
over, not a test that failed: that is settled by scores and texts alone, so the sequence stays one fixed without labels.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, exp, floor, lgamma, log, log1p
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
    "design_effect",
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
        By how much lookups are fewer than they look, 1 where no two hits share a text.
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

    What is left of a count after dividing by a design effect is rounded so that the p-value is not too small.

    Examples
    --------
    >>> round(binomial_p_value(0, 298, 0.01), 4)
    0.05
    """
    k, size = ceil(wrong - 1e-9), max(floor(n + 1e-9), 0)
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
    k, size, ahead = ceil(wrong - 1e-9), max(floor(n + 1e-9), 0), max(floor(horizon + 1e-9), 1)
    bad = k + floor(epsilon * horizon + 1e-9) + 1
    if bad > size + ahead or floor(epsilon * horizon + 1e-9) + 1 > ahead or k >= size:
        return 1.0
    drawn = np.arange(max(0, bad - ahead), min(k, size) + 1)
    chances = _choose(bad, drawn) + _choose(size + ahead - bad, size - drawn) - _choose(size + ahead, np.array([size]))
    return min(_sum_exp(chances), 1.0)


def false_hit_bound(wrong: float, n: float, delta: float) -> float:
    """Return the upper confidence bound (Clopper-Pearson, one-sided) of a rate after that many wrong of n.

    Where lookups share texts both are to be divided by their `design_effect`.
    """
    if n == 0 or wrong >= n:
        return 1.0
    low, high = wrong / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_p_value(wrong, n, middle) > delta else (low, middle)
    return high


def design_effect(hit: ArrayLike, right: ArrayLike, texts: ArrayLike) -> float:
    """Return by how much (n,) decided lookups are fewer than they look, of (n, 2) texts: 1 where no hits share one."""
    hits, good, pairs = np.asarray(hit, bool), np.asarray(right, bool), np.asarray(texts, dtype=np.int64)
    wrong, squares = _cumulative(hits & ~good, pairs)
    seen = int(squares[-1]) / int(wrong[-1]) if (hits & ~good).any() else 1.0
    return max(float(_effect_of_hits(pairs[hits])[-1]) if hits.any() else 1.0, _rounded_up(seen))


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
        (n, 2) numbers of the two texts of each lookup, to tell which may be wrong together; None: they are independent.
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
    pairs = pairs[order]
    wrong_so_far, squares = _cumulative(bad, pairs)
    floors = _effect_of_hits(pairs)
    best = Threshold(_NEVER, target, n, 0, 0, 1.0, 1.0, horizon)
    tested: dict[tuple[int, float], float] = {}

    def p_value_of(wrong: int, effect: float) -> float:
        if (wrong, effect) not in tested:
            tested[wrong, effect] = _p_value(wrong, effect, n, horizon, target.epsilon)
        return tested[wrong, effect]

    for end in ends:
        wrong, floor_here = int(wrong_so_far[end]), float(floors[end])
        if p_value_of(0, floor_here) > target.delta:
            continue  # whatever the labels
        effect = max(floor_here, _rounded_up(int(squares[end]) / wrong)) if wrong else floor_here
        p_value = p_value_of(wrong, effect)
        if p_value > target.delta:
            break
        best = Threshold(float(ranked[end]), target, n, int(end) + 1, wrong, p_value, effect, horizon)
    return best


def _p_value(wrong: int, effect: float, n: int, horizon: int | None, epsilon: float) -> float:
    if horizon is None:
        return binomial_p_value(wrong / effect, n / effect, epsilon)
    return hypergeometric_p_value(wrong / effect, n / effect, horizon / effect, epsilon)


def _rounded_up(effect: float) -> float:
    """Return the next hundredth: few different effects, so that few p-values are computed."""
    return ceil(100 * effect - 1e-6) / 100


def _effect_of_hits(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, at each rank, 1 and the mean number of other hits so far that share a text with one, rounded up."""
    with_text: Counter[int] = Counter()
    with_both: Counter[tuple[int, int]] = Counter()
    effects = np.ones(len(pairs))
    sharing = 0  # ordered pairs of hits
    for i, (a, b) in enumerate(pairs.tolist()):
        both = (min(a, b), max(a, b))
        # Those that have both texts in common are among those with either, and counted once.
        sharing += 2 * (with_text[a] + with_text[b] - with_both[both] if a != b else with_text[a])
        with_both[both] += 1
        for text in {a, b}:
            with_text[text] += 1
        effects[i] = _rounded_up(1.0 + sharing / (i + 1))
    return effects


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
