"""The interval of a share, also where its trials come in bursts or are graded."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["effective_trials", "trials_of_grades", "wilson"]

_Z95: Final = 1.959963984540054


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the 95% interval of a share seen in n trials (Wilson 1927); n may be an effective number.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(0.95, 500)]
    [0.927, 0.966]
    >>> [round(end, 3) for end in wilson(1.0, 20)]
    [0.839, 1.0]
    """
    z2 = _Z95**2 / n
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z95 * ((share * (1 - share) + z2 / 4) / n) ** 0.5 / (1 + z2)
    return 0.0 if share == 0.0 else middle - half, 1.0 if share == 1.0 else middle + half


def trials_of_grades(grades: NDArray[np.float64]) -> float:
    """Return how many yes-or-no trials would tell as much of the mean as these grades do, for `wilson`.

    Their number times the variance of yes and no of that mean over the grades' own; to that, one grade of the former is
    added, so that a few equal grades do not pass for certainty. Grades of 0 and 1 alone are as many trials.

    Parameters
    ----------
    grades
        (n,) in 0..1.

    Examples
    --------
    >>> trials_of_grades(np.array([1.0, 0.0, 1.0, 1.0]))
    4.0
    >>> round(trials_of_grades(np.array([0.75, 0.5, 0.75, 1.0])), 1)
    12.0
    """
    n, mean = len(grades), float(grades.mean())
    of_yes_and_no = mean * (1.0 - mean)
    if of_yes_and_no <= 0.0:
        return float(n)
    variance = (n * float(grades.var()) + of_yes_and_no) / (n + 1)
    return n * of_yes_and_no / variance


def effective_trials(n: NDArray[np.int64], k: NDArray[np.int64]) -> float:
    """Return how many independent trials would tell as much of their share as these clusters do.

    The number of trials over the design effect: the variance between clusters over that of as many trials apart, at
    least 1 (Korn, Graubard 1998).

    Parameters
    ----------
    n, k
        (c,) trials of each cluster, and how many of them succeeded.

    Examples
    --------
    >>> effective_trials(np.array([10, 10, 10, 10]), np.array([2, 3, 2, 3]))
    40.0
    >>> round(effective_trials(np.array([10, 10, 10, 10]), np.array([0, 0, 0, 10])), 1)
    3.0
    """
    tried = n > 0
    n, k, total = n[tried], k[tried], int(n.sum())
    share = k.sum() / total
    plain = total * share * (1.0 - share)
    if plain == 0.0 or len(n) < 2:
        return float(total)
    clustered = len(n) / (len(n) - 1) * float(((k - share * n) ** 2).sum())
    return float(max(1.0, total / max(1.0, clustered / plain)))
