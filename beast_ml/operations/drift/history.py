"""A stream in bounded memory, and since when its mean is another one.

Rows are summed up in blocks of equally many; when there are too many blocks, pairs are merged. So the start of a
change is told to within a hundredth of what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Change", "History"]

Floats = NDArray[np.float64]

_BLOCKS: Final = 128
_PROFILE_95: Final = 7.352  # 95% quantile of the likelihood ratio of a change point: (1 - exp(-x / 2))**2 = 0.95
_Z95: Final = 1.959963984540054
_LEAST_VARIANCE: Final = 1e-6


@dataclass(frozen=True)
class Change:
    """Since when a mean is another one.

    Parameters
    ----------
    at_s, earliest_s, latest_s
        The likeliest start, and its 95% interval; seconds since 1970.
    before, after
        Means; ``before`` is what was expected where there was nothing before.
    low, high
        95% interval of after - before.
    n_before, n_after
        Rows.
    """

    at_s: float
    earliest_s: float
    latest_s: float
    before: float
    after: float
    low: float
    high: float
    n_before: int
    n_after: int


class History:
    """Sums of consecutive rows.

    Parameters
    ----------
    usual
        The mean before any change, where it is known; None: it is learnt.
    """

    def __init__(self, usual: float | None = None) -> None:
        self.usual = usual
        self._size = 1
        self._start: list[float] = []
        self._n: list[int] = []
        self._sum: list[float] = []
        self._squares: list[float] = []
        self._last = 0.0

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(self._n)

    def add(self, at_s: float, value: float) -> None:
        """Take one more row in."""
        if self._n and self._n[-1] < self._size:
            self._n[-1] += 1
            self._sum[-1] += value
            self._squares[-1] += value * value
        else:
            if len(self._n) == _BLOCKS:
                self._merge()
            self._start.append(at_s)
            self._n.append(1)
            self._sum.append(value)
            self._squares.append(value * value)
        self._last = at_s

    def change(self) -> Change | None:
        """Return the likeliest change of the mean; None where there is too little to tell.

        The profile likelihood of one change between normal means; the interval of its start inverts the likelihood
        ratio (Hansen 2000).
        """
        starts, n = np.array(self._start), np.array(self._n, dtype=float)
        total, squares = np.array(self._sum), np.array(self._squares)
        if len(n) < 3:
            return None
        first = 0 if self.usual is not None else 1
        cut = np.arange(first, len(n))  # rows from block `cut` on are after the change
        n_before, n_after = _before(n)[cut], _after(n)[cut]
        s_before, s_after = _before(total)[cut], _after(total)[cut]
        q_before, q_after = _before(squares)[cut], _after(squares)[cut]
        if self.usual is None:
            spread_before = q_before - s_before**2 / n_before
        else:
            spread_before = q_before - 2 * self.usual * s_before + self.usual**2 * n_before
        spread = spread_before + q_after - s_after**2 / n_after
        best = int(spread.argmin())
        rows = float(n.sum())
        variance = max(float(spread[best]) / rows, _LEAST_VARIANCE)
        likely = cut[(spread - spread[best]) / variance <= _PROFILE_95]
        before = self.usual if self.usual is not None else float(s_before[best] / n_before[best])
        after = float(s_after[best] / n_after[best])
        of_before = 0.0 if self.usual is not None else variance / float(n_before[best])
        half = _Z95 * (variance / float(n_after[best]) + of_before) ** 0.5
        position, low, high = int(cut[best]), int(likely.min()), int(likely.max())
        return Change(
            at_s=float(starts[position]),
            earliest_s=float(starts[max(low - 1, 0)]),  # it may have begun within the block before
            latest_s=float(starts[high + 1]) if high + 1 < len(starts) else self._last,
            before=before,
            after=after,
            low=after - before - half,
            high=after - before + half,
            n_before=int(n_before[best]),
            n_after=int(n_after[best]),
        )

    def means(self, most: int = _BLOCKS) -> list[tuple[float, float, int]]:
        """Return (start in seconds, mean, rows) of at most so many blocks; neighbours are taken together."""
        step = max(-(-len(self._n) // most), 1)
        found = []
        for first in range(0, len(self._n), step):
            n = sum(self._n[first : first + step])
            found.append((self._start[first], sum(self._sum[first : first + step]) / n, n))
        return found

    def state(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "usual": self.usual,
            "size": self._size,
            "start": self._start.copy(),
            "n": self._n.copy(),
            "sum": self._sum.copy(),
            "squares": self._squares.copy(),
            "last": self._last,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> History:
        """Return one that goes on from a state."""
        one = cls(state["usual"])
        one._size, one._last = int(state["size"]), float(state["last"])
        one._start, one._n = list(state["start"]), list(state["n"])
        one._sum, one._squares = list(state["sum"]), list(state["squares"])
        return one

    def _merge(self) -> None:
        self._size *= 2
        self._start = self._start[::2]
        self._n = [a + b for a, b in zip(self._n[::2], self._n[1::2], strict=True)]
        self._sum = [a + b for a, b in zip(self._sum[::2], self._sum[1::2], strict=True)]
        self._squares = [a + b for a, b in zip(self._squares[::2], self._squares[1::2], strict=True)]


def _before(values: Floats) -> Floats:
    """Return the sum of what comes before each position."""
    return np.concatenate(([0.0], np.cumsum(values)[:-1]))


def _after(values: Floats) -> Floats:
    """Return the sum from each position on."""
    return np.asarray(np.cumsum(values[::-1])[::-1])
