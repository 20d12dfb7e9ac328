"""How heavy the tail of importance weights is: a few rounds that decide everything are no evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from beast_ml.evaluation.off_policy.rounds import Floats, effective_sample_size

__all__ = ["WeightTail", "pareto_shape", "weight_tail"]

_LEAST_TAIL: Final = 20
_PRIOR: Final = 10.0
_TOP: Final = 10
_NOTHING: Final = 1e-9


@dataclass(frozen=True)
class WeightTail:
    """The largest weights.

    Parameters
    ----------
    largest
        The largest weight.
    share_of_largest, share_of_top_10
        Of the sum of all.
    behind_spread
        How many rounds the spread of the estimate rests on: the effective sample size of the squared weights. Where it
        is small, the standard error itself is hardly known.
    pareto_k
        Shape of the tail; None where there is none, as when all weights are the same. With continuous weights, above
        0.7 the mean is not to be relied on at any feasible sample size (Vehtari, Simpson, Gelman, Yao, Gabry 2024);
        weights of few sizes may have any shape.
    """

    largest: float
    share_of_largest: float
    share_of_top_10: float
    behind_spread: float
    pareto_k: float | None


def weight_tail(weight: Floats) -> WeightTail:
    """Return what there is to say of the largest weights."""
    total = float(weight.sum())
    if not total > 0:
        return WeightTail(0.0, 0.0, 0.0, 0.0, None)
    top = np.sort(weight)[::-1][:_TOP]
    return WeightTail(
        largest=float(top[0]),
        share_of_largest=float(top[0]) / total,
        share_of_top_10=float(top.sum()) / total,
        behind_spread=effective_sample_size(weight**2),
        pareto_k=pareto_shape(weight),
    )


def pareto_shape(weight: Floats) -> float | None:
    """Return the shape k of a generalised Pareto distribution fitted to the largest weights; None without a tail.

    The tail are the min(n / 5, 3 sqrt(n)) largest of the n rounds; its fit is that of Zhang, Stephens (2009), drawn
    towards 0.5 as by ten more values.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.random.default_rng(0).random(20_000)
    >>> [round(pareto_shape(u**-k), 1) for k in (0.2, 0.5, 0.9)]
    [0.2, 0.5, 0.9]
    >>> pareto_shape(np.repeat([0.0, 2.0], 500)) is None
    True
    """
    n = len(weight)
    size = int(min(n / 5, 3 * n**0.5))
    if size < _LEAST_TAIL:
        return None
    ordered = np.sort(weight)
    excess = ordered[-size:] - ordered[-size - 1]
    excess = excess[excess > 1e-9 * ordered[-1]]
    if len(excess) < _LEAST_TAIL or excess[0] == excess[-1]:
        return None
    m = len(excess)
    quartile = excess[max(round(m / 4) - 1, 0)]
    grid = 30 + int(m**0.5)
    candidates = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quartile)
    candidates = candidates[np.abs(candidates) * excess[-1] > _NOTHING]  # the exponential one has no shape
    shape = -np.log1p(-candidates[:, None] * excess).mean(axis=1)
    likelihood = m * (np.log(candidates / shape) + shape - 1)
    posterior = np.exp(likelihood - likelihood.max())
    best = float((candidates * posterior).sum() / posterior.sum())
    k = float(np.log1p(-best * excess).mean())
    return (m * k + _PRIOR * 0.5) / (m + _PRIOR)
