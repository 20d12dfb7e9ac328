"""Since when something fails more often than it did: the likeliest stretch of time, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Burst", "find_burst", "holm", "merged_bins", "rate_interval"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_PERMUTATIONS: Final = 999
_ENOUGH: Final = 10
_CHUNK: Final = 50
_MOST_OVER: Final = 8  # stretches that ended before; more of them, and failures just come in clumps
_Z95: Final = 1.959963984540054
_PROFILE_95: Final = 7.352  # 95% quantile of the likelihood ratio of a change point: (1 - exp(-x / 2))**2 = 0.95


@dataclass(frozen=True)
class Burst:
    """A stretch of time bins in which more calls fail than before and after it.

    Parameters
    ----------
    first, last
        The first bin in it, and the first after it: the end of time unless it is sure (95%) to have ended before.
    first_low, first_high
        95% interval of ``first``.
    p_value
        Of the hypothesis that failures do not know of time.
    """

    first: int
    last: int
    first_low: int
    first_high: int
    p_value: float


def find_burst(
    failed: Counts,
    calls: Counts,
    rng: np.random.Generator,
    *,
    reaching: int = 0,
    n_coarse: int = 512,
    n_permutations: int = _PERMUTATIONS,
) -> Burst | None:
    """Return the stretch that is likeliest to have a raised failure rate; None where no stretch has.

    The likelihood ratio of two binomial rates (inside, outside) against one is maximised over stretches of
    geometrically spaced lengths, much as in circular binary segmentation (Olshen et al. 2004), on coarse bins of about
    equally many calls. Its p-value comes from permuting these bins, so that failures may come in clumps, and accounts
    for having looked at every stretch; what fits into a single bin is a clump. Ends are then moved on the fine bins;
    the interval of the start inverts the likelihood ratio (Hansen 2000).

    Parameters
    ----------
    failed, calls
        (n,) counts in consecutive bins of time.
    rng
        Draws the permutations.
    reaching
        Stretches that end at this bin are over: they are taken out, and what is left is searched.
    n_coarse
        Bins that are searched.
    n_permutations
        The least p-value is one over one more.
    """
    left = np.arange(len(calls))
    for _ in range(_MOST_OVER):
        k, n = failed[left], calls[left]
        edges = merged_bins(n, n_coarse)
        if len(edges) < 4 or not 0 < k.sum() < n.sum():
            return None
        coarse_k, coarse_n = (np.add.reduceat(each, edges[:-1]) for each in (k, n))
        starts, ends = _stretches(len(coarse_k))
        ratios = _ratios(coarse_k[None], coarse_n[None], starts, ends)[0]
        best = int(ratios.argmax())
        if ratios[best] <= 0.0:
            return None
        first, last = _moved_ends(k, n, int(edges[starts[best]]), int(edges[ends[best]]))
        if left[last - 1] >= reaching:
            p_value = _permuted(coarse_k, coarse_n, starts, ends, float(ratios[best]), rng, n_permutations)
            _, low, high = _likeliest(k, n, np.arange(last), np.full(last, last)) if first else (0, 0, 0)
            return Burst(int(left[first]), int(left[last - 1]) + 1, int(left[low]), int(left[high]), p_value)
        left = np.delete(left, np.s_[first:last])
    return None


def merged_bins(calls: Counts, most: int) -> NDArray[np.intp]:
    """Return the edges of at most so many runs of bins with about equally many calls each; none is without calls."""
    total = np.concatenate(([0], np.cumsum(calls)))
    if total[-1] == 0:
        return np.zeros(1, dtype=np.intp)
    goals = np.linspace(0, total[-1], min(most, len(calls)) + 1)
    edges = np.searchsorted(total, goals[1:-1])  # the first edge with at least so many calls before it
    edges = np.unique(np.concatenate(([0], edges, [len(calls)])))
    kept = [0]
    for edge in edges[1:].tolist():
        if total[edge] > total[kept[-1]]:
            kept.append(edge)
    kept[-1] = len(calls)
    return np.asarray(kept, dtype=np.intp)


def rate_interval(n_failed: int, n_calls: int) -> tuple[float, float]:
    """Return the 95% interval of a rate (Wilson 1927).

    Examples
    --------
    >>> tuple(round(bound, 3) for bound in rate_interval(5, 100))
    (0.022, 0.112)
    """
    if n_calls == 0:
        return 0.0, 1.0
    rate, z2 = n_failed / n_calls, _Z95**2 / n_calls
    middle = rate + z2 / 2
    half = _Z95 * np.sqrt(rate * (1 - rate) / n_calls + z2 / (4 * n_calls))
    return max(0.0, float((middle - half) / (1 + z2))), min(1.0, float((middle + half) / (1 + z2)))


def holm(p_values: Floats) -> Floats:
    """Return p-values adjusted for their number (Holm 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted


def _permuted(
    failed: Counts,
    calls: Counts,
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
    observed: float,
    rng: np.random.Generator,
    most: int,
) -> float:
    """Return the share of permutations of bins whose best stretch is as good as the observed one.

    It stops once that many are that the p-value cannot become small (Besag and Clifford 1991).
    """
    reached = done = 0
    while done < most and reached < _ENOUGH:
        n = min(_CHUNK, most - done)
        order = rng.permuted(np.tile(np.arange(len(calls)), (n, 1)), axis=1)
        ratios = _ratios(failed[order], calls[order], starts, ends)
        reached += int((ratios.max(axis=1) >= observed - 1e-9).sum())
        done += n
    return (1 + reached) / (1 + done)


def _stretches(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first bin of each stretch that is searched, and the first after it."""
    lengths = np.unique(np.rint(np.geomspace(1, max(n - 1, 1), 2 * n.bit_length())).astype(np.intp))
    starts = [np.arange(n - length + 1) for length in lengths]
    return np.concatenate(starts), np.concatenate([s + length for s, length in zip(starts, lengths, strict=True)])


def _moved_ends(failed: Counts, calls: Counts, first: int, last: int) -> tuple[int, int]:
    """Return the likeliest ends near these, one after the other."""
    for _ in range(2):
        if first:
            first = _likeliest(failed, calls, np.arange(last), np.full(last, last))[0]
        if last < len(calls):
            tried = np.arange(first + 1, len(calls) + 1)
            best, _, latest = _likeliest(failed, calls, np.full(len(tried), first), tried)
            last = int(tried[latest if tried[latest] == len(calls) else best])  # over only where that is sure
    return first, last


def _likeliest(failed: Counts, calls: Counts, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> tuple[int, int, int]:
    """Return which of these stretches is the likeliest, and the first and last that are nearly as likely."""
    ratios = 2.0 * _ratios(failed[None], calls[None], starts, ends)[0]
    good = np.flatnonzero(ratios >= ratios.max() - _PROFILE_95)
    return int(ratios.argmax()), int(good[0]), int(good[-1])


def _ratios(failed: Counts, calls: Counts, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """Return (rows, stretches) log likelihood ratios; 0 where the rate inside is not the higher one."""
    k, n = (np.concatenate((np.zeros((len(x), 1)), np.cumsum(x, axis=1, dtype=float)), axis=1) for x in (failed, calls))
    k_in, n_in = k[:, ends] - k[:, starts], n[:, ends] - n[:, starts]
    k_out, n_out = k[:, -1:] - k_in, n[:, -1:] - n_in
    ratios = _likelihood(k_in, n_in) + _likelihood(k_out, n_out) - _likelihood(k[:, -1:], n[:, -1:])
    return np.where(k_in * n_out > k_out * n_in, ratios, 0.0)


def _likelihood(k: Floats, n: Floats) -> Floats:
    """Return the log likelihood of k failures in n calls at their own rate."""
    return np.asarray(_x_log_x(k) + _x_log_x(n - k) - _x_log_x(n))


def _x_log_x(x: Floats) -> Floats:
    return np.asarray(x * np.log(np.maximum(x, 1.0)))  # counts: 0 and 1 both give 0
