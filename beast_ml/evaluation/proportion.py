"""The interval of a share."""

from __future__ import annotations

from typing import Final

__all__ = ["wilson"]

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
    return max(0.0, middle - half), min(1.0, middle + half)
