"""How calls that fail differ from others: where they are, and what changed when they began to fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import erfc, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.operations.error_burst import holm
from beast_ml.operations.error_counts import DIMENSIONS, ErrorCounts

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Change", "Place", "changes_of", "places_of"]

_STRICT: Final = 0.01
_MOST_FAILURES: Final = 0.8  # a place that is named holds this share of them ...
_MOST_CALLS: Final = 0.7  # ... and less than that of the calls
_TIMES: Final = 2.0  # and its rate is this many times that of the others
_NORMAL_FROM: Final = 400.0  # variance from which the exact sum would only be slower
_MOVED: Final = 0.2  # a change that is named moves this share of the calls
_JUST_BEFORE: Final = 0.25  # the part of the time before in which what merely coincides must not have changed yet


@dataclass(frozen=True)
class Place:
    """Where most of a pattern's failures are, though not most of the calls.

    Parameters
    ----------
    dimension, value
        Such as ``endpoint`` and its name.
    failure_share, call_share
        Its part of the pattern's failures, and of all calls.
    """

    dimension: str
    value: str
    failure_share: float
    call_share: float


@dataclass(frozen=True)
class Change:
    """What else changed when failures set in.

    Parameters
    ----------
    dimension, value
        What there is more of, such as ``policy version`` and its digest.
    share_before, share_after
        Its part of the calls.
    first_seen_at
        When it first occurred, if that was within the time looked at.
    is_tied
        Calls with it fail significantly more often than those without it. Where all calls have it, that cannot be told.
    """

    dimension: str
    value: str
    share_before: float
    share_after: float
    first_seen_at: datetime | None
    is_tied: bool

    def sentence(self) -> str:
        """Return it for people."""
        seen = f", first seen {self.first_seen_at:%m-%d %H:%M}" if self.first_seen_at else ""
        return (
            f"{self.dimension} {self.value} went from {self.share_before:.0%} to {self.share_after:.0%} of calls{seen}"
        )


def places_of(calls: pd.DataFrame, kind: str) -> tuple[Place, ...]:
    """Return where most of the failures are, though not most of the calls; the most telling first."""
    tables = [
        (name, str(value), *_table(calls, name, value, kind)) for name in DIMENSIONS for value in _values(calls, name)
    ]
    if not tables:
        return ()
    p_values = holm(np.array([_p_value(k_in, n_in, k_out, n_out) for _, _, k_in, n_in, k_out, n_out in tables]))
    places = [
        (p, Place(name, value, k_in / (k_in + k_out), n_in / (n_in + n_out)))
        for p, (name, value, k_in, n_in, k_out, n_out) in zip(p_values, tables, strict=True)
        if p <= _STRICT and k_in >= _MOST_FAILURES * (k_in + k_out) and n_in <= _MOST_CALLS * (n_in + n_out)
    ]
    return tuple(place for _, place in sorted(places, key=lambda each: each[1].call_share))


def changes_of(
    counts: ErrorCounts, calls: pd.DataFrame, earlier: pd.DataFrame, later: pd.DataFrame, kind: str
) -> tuple[Change, ...]:
    """Return what there is much more of after the failures set in; what failures go with first.

    Parameters
    ----------
    counts, calls
        All, and all of the model.
    earlier, later
        Those of about as long before and after.
    kind
        Of the failures.
    """
    n_before, n_after = int(earlier["n"].sum()), int(later["n"].sum())
    if not n_before or not n_after:
        return ()
    first, last = int(earlier["bin"].min()), int(earlier["bin"].max())
    just_before = earlier[earlier["bin"] >= last - (last - first) * _JUST_BEFORE]
    compared = []
    for name in DIMENSIONS:
        for value in _values(later, name):
            before, after = (int(part.loc[part[name] == value, "n"].sum()) for part in (earlier, later))
            compared.append((name, value, before, after))
    p_values = holm(np.array([_p_value(after, n_after, before, n_before) for _, _, before, after in compared] or [1.0]))
    changes = []
    for p, (name, value, before, after) in zip(p_values, compared, strict=False):
        if p > _STRICT or after / n_after - before / n_before < _MOVED:
            continue
        k_in, n_in, k_out, n_out = _table(later, name, value, kind)
        tied = n_out > 0 and k_in * n_out > _TIMES * k_out * n_in and _p_value(k_in, n_in, k_out, n_out) <= _STRICT
        if not tied and after / n_after - _share(just_before, name, value) < _MOVED:
            continue  # it changed some time before, and failures do not go with it
        first = int(calls.loc[calls[name] == value, "bin"].min())
        changes.append(
            Change(name, value, before / n_before, after / n_after, counts.at(first) if first else None, bool(tied))
        )
    return tuple(sorted(changes, key=lambda each: (not each.is_tied, each.share_before - each.share_after)))


def _values(calls: pd.DataFrame, dimension: str) -> list[str]:
    return [str(value) for value in calls[dimension].unique() if value != ""]


def _share(calls: pd.DataFrame, dimension: str, value: str) -> float:
    return float(calls.loc[calls[dimension] == value, "n"].sum() / calls["n"].sum())


def _table(calls: pd.DataFrame, dimension: str, value: str, kind: str) -> tuple[int, int, int, int]:
    """Return failures and calls with a value, and without it."""
    has, failed = calls[dimension] == value, calls["kind"] == kind
    n = calls["n"]
    return int(n[has & failed].sum()), int(n[has].sum()), int(n[~has & failed].sum()), int(n[~has].sum())


def _p_value(k_in: int, n_in: int, k_out: int, n_out: int) -> float:
    """Return the one-sided p-value of a share that is not higher inside: Fisher's test."""
    from scipy.stats import hypergeom

    k, n = k_in + k_out, n_in + n_out
    mean = k * n_in / n
    variance = mean * (n - k) * n_out / (n * max(n - 1, 1))
    if variance > _NORMAL_FROM:
        return 0.5 * erfc((k_in - 0.5 - mean) / sqrt(2 * variance))
    return float(hypergeom.sf(k_in - 1, n, k, n_in))
