"""Arrival times: streams of seconds since the start, in order, as many as are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.simulate.config import ArrivalConfig

__all__ = ["Arrivals", "DiurnalArrivals", "PoissonArrivals", "TraceArrivals", "arrivals", "read_trace"]

Floats = NDArray[np.float64]

_DAY_S: Final = 86_400.0
_WEEK_S: Final = 7 * _DAY_S
_THURSDAY_TO_MONDAY_S: Final = 4 * _DAY_S  # 1970-01-01 was a Thursday


class Arrivals(Protocol):
    """An endless, ordered stream of arrival times; how it is cut into pieces does not change it."""

    def take(self, n: int) -> Floats:
        """Return the next n times, in seconds since the start."""
        ...


def arrivals(config: ArrivalConfig, requests: int, rng: np.random.Generator) -> Arrivals:
    """Return the configured stream, at the rate at which ``requests`` are expected within the configured days.

    Raises
    ------
    DataError
        If the trace cannot be used.
    """
    match config.kind:
        case "poisson":
            return PoissonArrivals(requests / (config.days * _DAY_S), rng)
        case "diurnal":
            return DiurnalArrivals(config, requests, rng)
        case "trace":
            assert config.trace is not None  # noqa: S101 - the configuration has checked it
            return TraceArrivals(read_trace(config.trace), config.trace_speed)


class PoissonArrivals:
    """A Poisson process of constant rate (per second)."""

    def __init__(self, rate_per_s: float, rng: np.random.Generator) -> None:
        self._rate = rate_per_s
        self._rng = rng
        self._last = 0.0

    def take(self, n: int) -> Floats:
        """Return the next n times, in seconds since the start."""
        # Summing from the carried value keeps every bit the same however the stream is cut.
        steps = np.concatenate([[self._last], self._rng.standard_exponential(n)])
        totals = np.cumsum(steps)
        self._last = float(totals[-1])
        return np.asarray(totals[1:] / self._rate)


class DiurnalArrivals:
    """A Poisson process whose rate follows a daily and a weekly cycle (time change of a unit-rate process).

    The rate is proportional to (1 + amplitude * cos(2 pi (hour - peak) / 24)) * (weekend factor on Saturday and
    Sunday), held constant over each minute.
    """

    def __init__(self, config: ArrivalConfig, requests: int, rng: np.random.Generator) -> None:
        minutes = np.arange(0.0, _WEEK_S, 60.0)
        hours = (minutes / 3600.0) % 24.0
        rate = 1.0 + config.amplitude * np.cos(2.0 * np.pi * (hours - config.peak_hour) / 24.0)
        rate[minutes >= 5 * _DAY_S] *= config.weekend_factor
        self._grid = np.append(minutes, _WEEK_S)
        self._mass = np.concatenate([[0.0], np.cumsum(rate)])
        self._offset_s = (config.start_us / 1e6 - _THURSDAY_TO_MONDAY_S) % _WEEK_S
        self._origin = float(self._expected(np.array(self._offset_s)))
        end = float(self._expected(np.array(self._offset_s + config.days * _DAY_S)))
        self._unit = PoissonArrivals(requests / (end - self._origin), rng)

    def take(self, n: int) -> Floats:
        """Return the next n times, in seconds since the start."""
        mass = self._origin + self._unit.take(n)
        weeks, rest = np.divmod(mass, self._mass[-1])
        return np.asarray(weeks * _WEEK_S + np.interp(rest, self._mass, self._grid) - self._offset_s)

    def _expected(self, times_s: Floats) -> Floats:
        weeks, rest = np.divmod(times_s, _WEEK_S)
        return np.asarray(weeks * self._mass[-1] + np.interp(rest, self._grid, self._mass))


class TraceArrivals:
    """The times of a real trace; after its last one it starts again, a mean gap later."""

    def __init__(self, times_s: Floats, speed: float = 1.0) -> None:
        self._times = np.sort(times_s) - times_s.min()
        span = float(self._times[-1])
        if len(times_s) < 2 or span <= 0:
            raise DataError("a trace needs at least two different timestamps, this one has fewer")
        self._period = span * len(self._times) / (len(self._times) - 1)
        self._speed = speed
        self._taken = 0

    def take(self, n: int) -> Floats:
        """Return the next n times, in seconds since the start."""
        rounds, index = np.divmod(np.arange(self._taken, self._taken + n), len(self._times))
        self._taken += n
        return np.asarray((rounds * self._period + self._times[index]) / self._speed)


def read_trace(path: Path) -> Floats:
    """Return the ``timestamp_s`` column of a Parquet, CSV or JSONL trace, in seconds.

    Raises
    ------
    DataError
        If the file is absent or unreadable, has no such column, or the column is not made of finite numbers.
    """
    import pandas as pd

    if not path.is_file():
        raise DataError(f"the trace {path} is not there")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".csv":
            frame = pd.read_csv(path)
        else:
            frame = pd.read_json(path, lines=True)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the trace {path}: {error}") from error
    if "timestamp_s" not in frame:
        raise DataError(
            f"the trace {path} has the columns {', '.join(map(str, frame.columns))}, must have `timestamp_s`"
        )
    times = pd.to_numeric(frame["timestamp_s"], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(times).all():
        raise DataError(f"`timestamp_s` of {path} must be finite numbers of seconds in every row")
    return np.asarray(times)
