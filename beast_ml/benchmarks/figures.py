"""A published figure: its mean over seeds, how far seeds scatter, and the interval that resampled queries give."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import Estimate

__all__ = ["Figure", "PartResult", "from_intervals", "over_seeds"]

Floats = NDArray[np.float64]

_INTERVAL = (2.5, 97.5)


class Figure(msgspec.Struct, frozen=True):
    """One number of a report.

    Parameters
    ----------
    part
        The part of the benchmark it belongs to.
    dataset
        The set it was measured on.
    router
        Whose it is.
    name
        What it is.
    value
        Mean over seeds; None where the data do not define it.
    standard_error
        Of that mean, from the scatter between seeds; None with one seed.
    low, high
        95% interval by resampling queries, of the mean over seeds; None where none was drawn.
    seeds
        The value of each seed.
    """

    part: str
    dataset: str
    router: str
    name: str
    value: float | None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()


class PartResult(msgspec.Struct, frozen=True):
    """What a part of the benchmark found on one set, or without one.

    Parameters
    ----------
    part
        The part.
    figures
        Its numbers.
    notes
        What there is to say about them.
    seconds
        How long they took.
    """

    part: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def over_seeds(part: str, dataset: str, router: str, name: str, statistics: Sequence[Floats]) -> Figure:
    """Return the figure of a statistic that every seed computed on the data (first) and on the same resamples.

    The mean over seeds is taken on each resample, so the interval is that of the mean: it speaks of the queries, the
    standard error of what folds and training draws add. Seeds share their queries, so the two are not to be confused.

    Examples
    --------
    >>> figure = over_seeds("shares", "s", "r", "x", [np.array([0.1, 0.0, 0.2]), np.array([0.3, 0.2, 0.4])])
    >>> round(figure.value, 3), round(figure.standard_error, 3), round(figure.low, 3), round(figure.high, 3)
    (0.2, 0.1, 0.105, 0.295)
    """
    stacked = np.stack(statistics)
    values = stacked[:, 0]
    if not np.isfinite(values).all():
        return Figure(part, dataset, router, name, None)
    means = stacked[:, 1:].mean(axis=0)
    means = means[np.isfinite(means)]
    low, high = np.percentile(means, _INTERVAL) if means.size else (None, None)
    return Figure(
        part=part,
        dataset=dataset,
        router=router,
        name=name,
        value=float(values.mean()),
        standard_error=_standard_error(values),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        seeds=tuple(values.tolist()),
    )


def from_intervals(part: str, dataset: str, router: str, name: str, estimates: Sequence[Estimate]) -> Figure:
    """Return the figure of a statistic of which every seed gave its own interval: ends are means over seeds."""
    columns = [[getattr(estimate, end) for estimate in estimates] for end in ("value", "low", "high")]
    values, lows, highs = (None if None in column else np.array(column, dtype=float) for column in columns)
    if values is None:
        return Figure(part, dataset, router, name, None)
    return Figure(
        part=part,
        dataset=dataset,
        router=router,
        name=name,
        value=float(values.mean()),
        standard_error=_standard_error(values),
        low=None if lows is None else float(lows.mean()),
        high=None if highs is None else float(highs.mean()),
        seeds=tuple(values.tolist()),
    )


def _standard_error(values: Floats) -> float | None:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
