"""Many variants against one control: which are found different, so that the whole claim holds and looking is free.

- ``holm``: the probability of any false finding is at most alpha. Holm (1979) on always-valid p-values: each is valid
  even at its smallest ever, so the procedure is, at whatever moment.
- ``fdr``: the expected share of false findings among all is at most alpha. Benjamini-Hochberg needs assumptions on how
  p-values depend on each other, which share a control here and were stopped by what they showed. The e-BH procedure
  (Wang, Ramdas 2022) needs none. Its e-value is the mixture likelihood ratio, 1 over the p-value of the present look
  (never of the best look), and a variant's evidence is kept as it was when it was found: that is a stopping time, so
  it stays an e-value, what was found stays found, and the rate holds for all that are found in the end.
- ``none``: each comparison for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["MULTIPLICITIES", "Findings", "Multiplicity", "find"]

Multiplicity = Literal["holm", "fdr", "none"]
"""How comparisons of several variants are corrected."""

MULTIPLICITIES: Final[tuple[Multiplicity, ...]] = get_args(Multiplicity)
"""All of `Multiplicity`."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """What was found over all looks.

    Parameters
    ----------
    found_at
        (k,) the look at which each comparison was found different, -1 where it was not.
    adjusted
        (k, t) p-values adjusted for the number of comparisons, as of each look.
    interval_alpha
        Level of the intervals that go with the findings: simultaneous for ``holm``, of a false-coverage rate for
        ``fdr`` (e-BY: Xu, Wang, Ramdas 2024).
    """

    found_at: NDArray[np.intp]
    adjusted: Floats
    interval_alpha: float


def find(p_values: Floats, alpha: float, method: Multiplicity) -> Findings:
    """Return what is found among (k, t) p-values of k comparisons as of each of t looks.

    Each must be valid at any single look, chosen by whatever was seen: 1 over an e-value.
    """
    k = len(p_values)
    if method == "fdr":
        kept, found_at = _kept_when_found(p_values, alpha)
        n_found = int((found_at >= 0).sum())
        return Findings(found_at, _step_up(kept), alpha * max(n_found, 1) / k)
    smallest = np.minimum.accumulate(p_values, axis=1)
    adjusted = _step_down(smallest) if method == "holm" else smallest
    significant = adjusted <= alpha
    found_at = np.where(significant.any(axis=1), significant.argmax(axis=1), -1).astype(np.intp)
    return Findings(found_at, adjusted, alpha / k if method == "holm" else alpha)


def _step_down(p_values: Floats) -> Floats:
    """Return Holm's adjusted p-values of each column."""
    k = len(p_values)
    order = np.argsort(p_values, axis=0, kind="stable")
    scaled = np.take_along_axis(p_values, order, axis=0) * np.arange(k, 0, -1)[:, None]
    return _put_back(np.minimum(np.maximum.accumulate(scaled, axis=0), 1.0), order)


def _step_up(p_values: Floats) -> Floats:
    """Return, for each column, the levels at which e-BH finds each comparison."""
    k = len(p_values)
    order = np.argsort(p_values, axis=0, kind="stable")
    scaled = np.take_along_axis(p_values, order, axis=0) * (k / np.arange(1, k + 1))[:, None]
    return _put_back(np.minimum(np.minimum.accumulate(scaled[::-1], axis=0)[::-1], 1.0), order)


def _put_back(ordered: Floats, order: NDArray[np.intp]) -> Floats:
    out = np.empty_like(ordered)
    np.put_along_axis(out, order, ordered, axis=0)
    return out


def _kept_when_found(p_values: Floats, alpha: float) -> tuple[Floats, NDArray[np.intp]]:
    """Return the p-values with each kept from the look at which e-BH found it, and those looks."""
    kept = p_values.copy()
    found_at = np.full(len(kept), -1, dtype=np.intp)
    start = 0
    while start < kept.shape[1]:
        found = _step_up(kept[:, start:]) <= alpha
        new = found & (found_at < 0)[:, None]
        if not new.any():
            break
        look = start + int(new.any(axis=0).argmax())
        for comparison in np.flatnonzero(new[:, look - start]):
            found_at[comparison] = look
            kept[comparison, look:] = kept[comparison, look]
        start = look
    return kept, found_at
