"""How daily costs go on: a level that drifts, a rhythm of the week, and noise that multiplies.

    log(cost + small) = level + weekday + noise;  level is a random walk

Everything is Gaussian given three variances, so the days to come given those gone by are a multivariate Student t
(the noise variance integrated out under its Jeffreys prior), mixed over a grid of the other two in proportion to their
marginal likelihood (Harvey 1989; Gelman et al., Bayesian Data Analysis, 14.2). Nothing is fitted by hand, and with few
days the interval is wide by itself.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.special import logsumexp

from beast_ml.errors import NotEnoughDataError

__all__ = ["LEAST_DAYS", "draw_days"]

Floats = NDArray[np.float64]

LEAST_DAYS: Final = 7
"""Days of history that a forecast needs."""

_LEVEL_WALK: Final = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_WEEKDAY: Final = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Variances over that of the noise: of a day's step of the level, and of weekdays."""
_ANY_LEVEL: Final = 1e4
_SMALL: Final = 0.01  # of a mean day: days without any cost have a logarithm, too
_LEAST_VARIANCE: Final = 1e-8


def draw_days(cost_usd: Floats, n_ahead: int, rng: np.random.Generator, n_draws: int = 4000) -> Floats:
    """Return (n_draws, n_ahead) costs of the days after these, drawn from what is known of them.

    Parameters
    ----------
    cost_usd
        (n,) of consecutive days.

    Raises
    ------
    NotEnoughDataError
        If there are fewer than `LEAST_DAYS`, or nothing was spent.
    """
    n = len(cost_usd)
    if n < LEAST_DAYS or cost_usd.sum() <= 0:
        raise NotEnoughDataError(
            f"{n} whole days with ${cost_usd.sum():,.6g} are too little to forecast by: at least {LEAST_DAYS} days, "
            "and some cost, are needed"
        )
    if n_ahead == 0:
        return np.zeros((n_draws, 0))
    small = _SMALL * cost_usd.mean()
    logs = np.log(cost_usd + small)
    centre = logs.mean()
    days = np.arange(n + n_ahead)
    walk = np.minimum.outer(days, days).astype(float)
    same_weekday = ((days[:, None] - days[None, :]) % 7 == 0).astype(float)
    models = [
        _conditioned(logs - centre, _ANY_LEVEL + q * walk + w * same_weekday + np.eye(len(days)))
        for q, w in product(_LEVEL_WALK, _WEEKDAY)
    ]
    evidence = np.array([model[0] for model in models])
    counts = rng.multinomial(n_draws, np.exp(evidence - logsumexp(evidence)))
    drawn = []
    for (_, mean, root), count in zip(models, counts, strict=True):
        normal = rng.standard_normal((count, n_ahead)) @ root.T
        drawn.append(mean + normal / np.sqrt(rng.chisquare(n - 1, (count, 1)) / (n - 1)))
    drawn_logs = rng.permutation(np.concatenate(drawn)) + centre
    # A first look at a handful of days leaves room for absurd tails, which would overflow and tell nobody anything.
    most = np.log(cost_usd.max() + small) + np.log(1e3)
    return np.asarray(np.maximum(np.exp(np.minimum(drawn_logs, most)) - small, 0.0))


def _conditioned(y: Floats, covariance: Floats) -> tuple[float, Floats, Floats]:
    """Return the log marginal likelihood, and location and root of the scale of the days after y."""
    n = len(y)
    past = cho_factor(covariance[:n, :n], lower=True)
    weights = cho_solve(past, y)
    spread = max(float(y @ weights), _LEAST_VARIANCE)
    evidence = -float(np.log(np.diag(past[0])).sum()) - 0.5 * (n - 1) * np.log(spread)
    across = covariance[n:, :n]
    scale = (covariance[n:, n:] - across @ cho_solve(past, across.T)) * spread / (n - 1)
    return evidence, across @ weights, cholesky(scale + 1e-12 * np.eye(len(scale)), lower=True)
