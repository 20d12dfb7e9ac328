"""How often each question will be asked in the next hours: what warming is planned by.

    requests -> hourly counts (hours, keys) -> Gamma-Poisson seasonal model -> expected requests (hours ahead, keys)

The rate of key k in hour t is ``level_k(t) * season_k(hour of day) * week(day of week)``. Levels are posterior means of
a Gamma-Poisson model over counts that fade with a half-life, their prior fitted to all keys; the season of a key is
shrunk towards the season of all keys together; the rhythm of the week is common to all. Half-life and shrinkage are
chosen by the Poisson deviance of the last day of the history, one hour ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError

__all__ = ["DemandHistory", "Forecast", "ForecastAccuracy", "fit_forecast", "measure_forecast"]

_HOUR_S: Final = 3_600.0
_DAY_H: Final = 24
_WEEK_H: Final = 168
_HALF_LIVES_H: Final = (6.0, 24.0, 72.0, 336.0)
_STRENGTHS: Final = (3.0, 20.0, 200.0)  # requests of its own at which a key's season counts as much as everybody's
_LEAST: Final = 1e-9
_SMOOTH: Final = np.array([0.25, 0.5, 0.25])  # neighbouring hours of the day

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DemandHistory:
    """Requests by hour and key.

    Parameters
    ----------
    keys
        (K,) what is asked: a cluster, or a tenant and a normalised text.
    first_hour
        Hours since the epoch of the first row.
    counts
        (T, K) requests.
    """

    keys: tuple[str, ...]
    first_hour: int
    counts: NDArray[np.int32]

    @classmethod
    def of_requests(
        cls, at_s: Sequence[float] | Array, keys: Sequence[str], *, until_s: float | None = None, least: int = 1
    ) -> DemandHistory:
        """Return the history of n requests.

        Parameters
        ----------
        at_s, keys
            (n,) times in seconds since the epoch, and what was asked.
        until_s
            Only whole hours before this count; None: the last hour with a request is the last.
        least
            Keys with fewer requests are left out: nothing can be foretold of them.

        Raises
        ------
        NotEnoughDataError
            If nothing is left.
        """
        hours = np.floor(np.asarray(at_s, dtype=np.float64) / _HOUR_S).astype(np.int64)
        end = int(np.floor(until_s / _HOUR_S)) if until_s is not None else int(hours.max(initial=-1)) + 1
        names = list(dict.fromkeys(keys))
        places = {name: i for i, name in enumerate(names)}
        index = np.fromiter((places[key] for key in keys), dtype=np.int64, count=len(keys))
        totals = np.bincount(index, minlength=len(names))
        kept = np.flatnonzero(totals >= least)
        column = np.full(len(names), -1)
        column[kept] = np.arange(len(kept))
        inside = (hours < end) & (column[index] >= 0)
        if not inside.any():
            raise NotEnoughDataError(
                f"no key was asked {least} times or more in {len(hours)} requests: there is nothing to forecast by"
            )
        first = int(hours[inside].min())
        counts = np.zeros((end - first, len(kept)), dtype=np.int32)
        np.add.at(counts, (hours[inside] - first, column[index[inside]]), 1)
        return cls(tuple(names[i] for i in kept), first, counts)

    def before(self, n_hours: int) -> DemandHistory:
        """Return its first hours."""
        return DemandHistory(self.keys, self.first_hour, self.counts[:n_hours])


@dataclass(frozen=True)
class Forecast:
    """What is expected in the hours after a history.

    Parameters
    ----------
    keys
        (K,) as in the history.
    expected
        (H, K) requests.
    shape
        (K,) of the Gamma distributed levels: how sure the level is.
    half_life_h, strength
        What was chosen.
    """

    keys: tuple[str, ...]
    expected: Array
    shape: Array
    half_life_h: float
    strength: float

    def total(self, n_hours: int) -> Array:
        """Return (K,) requests expected in the next hours."""
        return np.asarray(self.expected[:n_hours].sum(axis=0))

    def probability_of_any(self, n_hours: int) -> Array:
        """Return (K,) probabilities that a key is asked at all in the next hours (negative binomial)."""
        mean = self.total(n_hours)
        return np.asarray(1.0 - (1.0 + mean / self.shape) ** -self.shape)


@dataclass(frozen=True)
class ForecastAccuracy:
    """Poisson deviance and mean absolute error a key and hour, on hours that the forecast had not seen.

    Parameters
    ----------
    n_hours
        How many.
    deviance, mean_absolute_error
        By name: ``seasonal`` is ours; ``last value``, ``same hour yesterday`` and ``mean`` are the baselines. Whoever
        says 0 is read as a thousandth of a request, or one request would cost it infinitely much.
    """

    n_hours: int
    deviance: dict[str, float]
    mean_absolute_error: dict[str, float]


def fit_forecast(
    history: DemandHistory, n_hours: int = 24, half_life_h: float | None = None, strength: float | None = None
) -> Forecast:
    """Return what is expected in the next hours.

    Parameters
    ----------
    history
        What was asked.
    n_hours
        How far to look ahead.
    half_life_h, strength
        How fast the past fades, and how many requests a key needs for a season of its own; None: what would have been
        best for the last day.
    """
    if half_life_h is None or strength is None:
        half_life_h, strength = _chosen(history)
    return _forecast(history, n_hours, half_life_h, strength)


def measure_forecast(history: DemandHistory, n_held_out: int = 48) -> ForecastAccuracy:
    """Return how far one-hour-ahead forecasts of the last hours are off, beside the baselines.

    Raises
    ------
    NotEnoughDataError
        If less than two days are left before them.
    """
    n = len(history.counts)
    if n - n_held_out < 2 * _DAY_H:
        raise NotEnoughDataError(f"the history has {n} hours, must have {n_held_out} to hold out and 48 before those")
    half_life_h, strength = _chosen(history.before(n - n_held_out))
    counts = history.counts.astype(np.float64)
    rows = range(n - n_held_out, n)
    said = {
        "seasonal": np.array([_forecast(history.before(t), 1, half_life_h, strength).expected[0] for t in rows]),
        "last value": counts[[t - 1 for t in rows]],
        "same hour yesterday": counts[[t - _DAY_H for t in rows]],
        "mean": np.array([counts[:t].mean(axis=0) for t in rows]),
    }
    true = counts[n - n_held_out :]
    return ForecastAccuracy(
        n_held_out,
        {name: _deviance(true, np.maximum(mean, 1e-3)) for name, mean in said.items()},
        {name: float(np.abs(true - mean).mean()) for name, mean in said.items()},
    )


def _chosen(history: DemandHistory) -> tuple[float, float]:
    n = len(history.counts)
    n_tried = min(_DAY_H, n // 4)
    if n_tried == 0:
        return _HALF_LIVES_H[-1], _STRENGTHS[-1]
    rows = list(range(n - n_tried, n, max(1, n_tried // 8)))
    true = history.counts[rows].astype(np.float64)
    best = (np.inf, _HALF_LIVES_H[-1], _STRENGTHS[-1])
    for half_life_h in _HALF_LIVES_H:
        for strength in _STRENGTHS:
            said = np.array([_forecast(history.before(t), 1, half_life_h, strength).expected[0] for t in rows])
            best = min(best, (_deviance(true, said), half_life_h, strength))
    return best[1], best[2]


def _forecast(history: DemandHistory, n_hours: int, half_life_h: float, strength: float) -> Forecast:
    counts = history.counts.astype(np.float64)
    n, _ = counts.shape
    hours = history.first_hour + np.arange(n + n_hours)
    common = _common_rhythm(counts, hours)
    fade = 0.5 ** (np.arange(n)[::-1] / half_life_h)
    season = _own_seasons(counts, hours, common, strength)
    of_day = hours % _DAY_H
    exposure = np.einsum("t,tk->k", fade * common[:n], season[of_day[:n]])
    seen = fade @ counts
    shape, rate = _level_prior(seen, exposure)
    level = (shape + seen) / (rate + exposure)
    expected = level * season[of_day[n:]] * common[n:, None]
    return Forecast(history.keys, np.maximum(expected, _LEAST), shape + seen, half_life_h, strength)


def _common_rhythm(counts: Array, hours: NDArray[np.int64]) -> Array:
    """Return (T + H,) factors about 1 of the hour of day and the day of week, of all keys together."""
    n = len(counts)
    total = counts.sum(axis=1)
    mean = max(total.mean(), _LEAST)
    by_hour = _shares(total, hours[:n] % _DAY_H, _DAY_H, mean)
    smooth = np.convolve(np.concatenate([by_hour[-1:], by_hour, by_hour[:1]]), _SMOOTH, mode="valid")
    factor = smooth[hours % _DAY_H]
    if n >= _WEEK_H:
        day = hours // _DAY_H % 7
        factor = factor * _shares(total / np.maximum(factor[:n], _LEAST), day[:n], 7, mean)[day]
    return np.asarray(np.maximum(factor, 0.05))


def _shares(total: Array, group: NDArray[np.int64], n_groups: int, mean: float) -> Array:
    """Return (n_groups,) means over the overall mean, shrunk towards 1 by ten average hours' worth of requests."""
    sums = np.bincount(group, total, n_groups) + 10.0
    return np.asarray(sums / (np.bincount(group, minlength=n_groups) * mean + 10.0))


def _own_seasons(counts: Array, hours: NDArray[np.int64], common: Array, strength: float) -> Array:
    """Return (24, K) factors about 1 by which a key's hours differ from everybody's."""
    n = len(counts)
    seen = np.zeros((_DAY_H, counts.shape[1]))
    np.add.at(seen, hours[:n] % _DAY_H, counts)
    weight = np.bincount(hours[:n] % _DAY_H, common[:n], _DAY_H)
    expected = weight[:, None] * (counts.sum(axis=0) / max(weight.sum(), _LEAST))
    for _ in range(2):  # hours lend to their neighbours
        seen = 0.5 * seen + 0.25 * (np.roll(seen, 1, axis=0) + np.roll(seen, -1, axis=0))
        expected = 0.5 * expected + 0.25 * (np.roll(expected, 1, axis=0) + np.roll(expected, -1, axis=0))
    prior = strength / _DAY_H
    return np.asarray((prior + seen) / (prior + expected))


def _level_prior(seen: Array, exposure: Array) -> tuple[float, float]:
    """Return shape and rate of the Gamma prior of levels, by the moments of the keys' rates."""
    rates = seen / np.maximum(exposure, _LEAST)
    mean = max(float(seen.sum() / max(exposure.sum(), _LEAST)), _LEAST)
    noise = float(np.mean(mean / np.maximum(exposure, _LEAST)))
    spread = max(float(rates.var()) - noise, 0.05 * mean**2)
    return mean**2 / spread, mean / spread


def _deviance(true: Array, mean: Array) -> float:
    log_ratio = np.log(np.where(true > 0, true / mean, 1.0))
    return float(np.mean(2.0 * (true * log_ratio - (true - mean))))
