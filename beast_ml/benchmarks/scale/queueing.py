"""How long requests take on a worker at some load, and the most load at which they take no longer than a limit.

A worker is one event loop, and a kept-alive connection stays with its worker: a host of k workers is k queues of one
server each, not one queue of k. Requests come as independent users send them (Poisson). Lindley's recursion gives every
wait exactly; it is drawn here, not approximated.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["highest_load", "response_us", "waits"]

_N_REQUESTS: Final = 50_000
_HIGHEST: Final = 0.98
_STEPS: Final = 30


def waits(service: NDArray[np.float64], gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long each request waits: W[n+1] = max(0, W[n] + S[n] - A[n+1]), the first for nothing.

    Parameters
    ----------
    service
        (n,) what each request occupies the server for.
    gaps
        (n,) from the arrival before to that of each, in the same unit; the first is of no account.

    References
    ----------
    D. V. Lindley, The theory of queues with a single server, 1952.

    Examples
    --------
    >>> waits(np.array([3.0, 3.0, 1.0]), np.array([0.0, 1.0, 10.0])).tolist()
    [0.0, 2.0, 0.0]
    """
    walk = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    return np.asarray(walk - np.minimum.accumulate(np.minimum(walk, 0.0)), dtype=np.float64)


def response_us(
    service_us: NDArray[np.float64], load: float, quantile: float = 0.95, n_requests: int = _N_REQUESTS, seed: int = 0
) -> float:
    """Return a quantile of the time from a request's arrival to its answer.

    Parameters
    ----------
    service_us
        (k,) times that requests occupy a worker for: each draws one of them.
    load
        Share of its time that the worker is busy, below 1.
    quantile
        Of the times.
    n_requests
        That are drawn.
    seed
        Of the draws: the same seed gives the same gaps but for their scale, so more load is never faster.
    """
    return _quantile(*_drawn(service_us, n_requests, seed), load, quantile)


def _drawn(
    service_us: NDArray[np.float64], n_requests: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n,) times of service, and gaps of the same mean."""
    rng = np.random.default_rng(seed)
    service = rng.choice(service_us, n_requests)
    return service, rng.exponential(float(service.mean()), n_requests)


def _quantile(service: NDArray[np.float64], gaps: NDArray[np.float64], load: float, quantile: float) -> float:
    return float(np.quantile(waits(service, gaps / load) + service, quantile))


def highest_load(service_us: NDArray[np.float64], limit_us: float, quantile: float = 0.95) -> float:
    """Return the highest load at which a quantile of the time keeps to a limit; 0 where even a request alone does not.

    Parameters
    ----------
    service_us, quantile
        See `response_us`.
    limit_us
        What the quantile may be.
    """
    low, high = 0.0, _HIGHEST
    drawn = _drawn(service_us, _N_REQUESTS, 0)
    if _quantile(*drawn, high, quantile) <= limit_us:
        return high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _quantile(*drawn, middle, quantile) <= limit_us:
            low = middle
        else:
            high = middle
        if high - low < 1e-4:
            break
    return low
