"""What a server's `/metrics` said, over time: increases of counters, over restarts too, and gauges as they were."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["MetricHistory", "Series", "parse_metrics", "quantile_from_buckets"]

Floats = NDArray[np.float64]

_COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")


class Series(NamedTuple):
    """A metric with its labels, sorted by name."""

    name: str
    labels: tuple[tuple[str, str], ...]


def parse_metrics(text: str) -> dict[Series, float]:
    """Return the numbers of a page in Prometheus' text format.

    Raises
    ------
    ValueError
        If it is in another format.

    Examples
    --------
    >>> parse_metrics('beast_requests_total{status="200"} 3.0')
    {Series(name='beast_requests_total', labels=(('status', '200'),)): 3.0}
    """
    return {
        Series(sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def quantile_from_buckets(increases: Mapping[float, float], q: float) -> float | None:
    """Return a quantile of a histogram, linear within its bucket; None where nothing was counted.

    Parameters
    ----------
    increases
        Upper bound of a bucket -> how many were at or below it; the last bound is infinity.
    q
        0..1.

    Notes
    -----
    As Prometheus' ``histogram_quantile``: above the last finite bound it is that bound.

    Examples
    --------
    >>> quantile_from_buckets({0.1: 5.0, 0.2: 10.0, float("inf"): 10.0}, 1.0)
    0.2
    """
    bounds = sorted(increases)
    if not bounds or increases[bounds[-1]] <= 0:
        return None
    wanted, low, below = q * increases[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        at_most = increases[bound]
        if at_most >= wanted and at_most > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (at_most - below)
        low, below = (low if bound == float("inf") else bound), max(below, at_most)
    return low


class MetricHistory:
    """What one server said.

    Parameters
    ----------
    horizon_s
        Seconds that are kept.
    step_s
        Least seconds between two looks that are kept; the newest one always counts.
    """

    def __init__(self, horizon_s: float = 3600.0, step_s: float = 1.0) -> None:
        self._horizon_s, self._step_s = horizon_s, step_s
        self._columns: dict[Series, int] = {}
        self._by_name: dict[str, list[Series]] = {}
        self._raw = np.empty(0)
        self._grown = np.empty(0)
        self._times: list[float] = []
        self._looks: list[Floats] = []

    @property
    def last_s(self) -> float | None:
        """When it last said something, in seconds since 1970."""
        return self._times[-1] if self._times else None

    @property
    def first_s(self) -> float | None:
        """When it first said something that is kept."""
        return self._times[0] if self._times else None

    def add(self, at_s: float, samples: Mapping[Series, float]) -> None:
        """Take in what it says now.

        A counter that fell has begun anew, with its server: what it shows since is its increase.
        """
        for series in samples.keys() - self._columns.keys():
            self._columns[series] = len(self._columns)
            self._by_name.setdefault(series.name, []).append(series)
        is_first, n = not self._times, len(self._columns)
        raw = np.full(n, np.nan)
        raw[[self._columns[series] for series in samples]] = list(samples.values())
        before = np.concatenate([self._raw, np.full(n - len(self._raw), np.nan)])
        grown = np.concatenate([self._grown, np.zeros(n - len(self._grown))])
        if is_first:  # what was counted before we looked is no increase of the time that we know
            grown = np.where(np.isnan(raw), 0.0, raw)
        else:
            known = np.where(np.isnan(before), 0.0, before)
            step = np.where(raw >= known, raw - known, raw)
            grown = grown + np.where(np.isnan(raw), 0.0, step)
        self._grown, self._raw = grown, np.where(np.isnan(raw) & self._counts(n), before, raw)
        look = np.where(self._counts(n), grown, raw)
        if len(self._times) > 1 and self._times[-1] - self._times[-2] < self._step_s:
            self._times[-1], self._looks[-1] = at_s, look
        else:
            self._times.append(at_s)
            self._looks.append(look)
        while self._times[0] < at_s - self._horizon_s and len(self._times) > 1:
            del self._times[0], self._looks[0]

    def _counts(self, n: int) -> NDArray[np.bool_]:
        return np.fromiter((series.name.endswith(_COUNTERS) for series in self._columns), bool, n)

    def latest(self, name: str, **labels: str) -> dict[Series, float]:
        """Return what a metric's series with these labels said last."""
        found = {each: float(self._raw[self._columns[each]]) for each in self._of(name, labels)}
        return {each: value for each, value in found.items() if value == value}

    def increase(self, name: str, since_s: float, until_s: float | None = None, **labels: str) -> dict[Series, float]:
        """Return by how much a counter's series have grown after a time, and until another (default: now)."""
        chosen = self._of(name, labels)
        if not self._times or not chosen:
            return {}
        columns = [self._columns[each] for each in chosen]
        grown = self._at(until_s, columns) - self._at(since_s, columns)
        return dict(zip(chosen, grown.tolist(), strict=True))

    def gauge_since(self, name: str, since_s: float) -> dict[Series, tuple[float, float]]:
        """Return what a gauge's series were at a time, or when they were first seen after it: (when, value) each."""
        found: dict[Series, tuple[float, float]] = {}
        first = max(bisect_right(self._times, since_s) - 1, 0)
        for series in self._by_name.get(name, ()):
            j = self._columns[series]
            for at_s, look in zip(self._times[first:], self._looks[first:], strict=True):
                if j < len(look) and look[j] == look[j]:
                    found[series] = (at_s, float(look[j]))
                    break
        return found

    def _of(self, name: str, labels: Mapping[str, str]) -> list[Series]:
        return [each for each in self._by_name.get(name, ()) if labels.items() <= dict(each.labels).items()]

    def _at(self, at_s: float | None, columns: list[int]) -> Floats:
        i = len(self._times) - 1 if at_s is None else max(bisect_right(self._times, at_s) - 1, 0)
        look = self._looks[i]
        return np.array([look[j] if j < len(look) else 0.0 for j in columns])
