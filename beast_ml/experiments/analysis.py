"""An experiment's answer: each variant against the control, whenever one looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError, InputError
from beast_ml.experiments.checks import Novelty, Peeking, RatioMismatch, novelty, peeking, ratio_mismatch
from beast_ml.experiments.moments import UnitMoments
from beast_ml.experiments.multiplicity import Multiplicity, find
from beast_ml.experiments.observations import CONTROL, Observations
from beast_ml.experiments.running_moments import running_moments
from beast_ml.experiments.sequential_test import Path, SequentialConfig, follow

__all__ = ["Comparison", "ExperimentAnalysis", "analyze"]

Floats = NDArray[np.float64]

_MOST_LOOKS: Final = 50_000
_PARTS: Final = 4
_COVARIATE_MOVED: Final = 0.001


@dataclass(frozen=True)
class Comparison:
    """A variant against the control, as of the last look.

    Parameters
    ----------
    name
        The variant.
    n_units, n_rows
        Units and observations of the variant.
    value
        Its ratio: the mean over observations.
    effect, low, high
        Variant minus control with its confidence sequence; None where too little is known to say.
    p_value
        Always valid, and adjusted for the number of variants.
    p_value_alone
        Always valid, of this comparison alone.
    found_at
        When it was first found different; None if it was not.
    variance_reduction
        What part of the effect's variance the covariates took away.
    path
        All looks.
    peeking
        What an ordinary test would have claimed.
    novelty
        Whether the effect changed with time.
    """

    name: str
    n_units: int
    n_rows: int
    value: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float
    p_value_alone: float
    found_at: datetime | None
    variance_reduction: float
    path: Path
    peeking: Peeking
    novelty: Novelty

    def to_dict(self, control: float) -> dict[str, Any]:
        """Return the comparison for a report."""
        relative = None if self.effect is None or control == 0 else self.effect / abs(control)
        return {
            "effect": self.effect,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "p_value_alone": self.p_value_alone,
            "found_at": _iso(self.found_at),
            "n_units": self.n_units,
            "n_rows": self.n_rows,
            "value": self.value,
            "relative_effect": relative,
            "variance_reduction": self.variance_reduction,
            "fixed_horizon": {
                "p_value": self.peeking.p_value,
                "share_of_looks_below_alpha": self.peeking.share_of_looks,
                "misleads": self.peeking.misleads,
            },
            "over_time": {
                "effects": [_number(each) for each in self.novelty.effects],
                "standard_errors": [_number(each) for each in self.novelty.errors],
                "p_value_of_change": self.novelty.p_value,
                "changes": self.novelty.found,
            },
        }


@dataclass(frozen=True)
class ExperimentAnalysis:
    """What an experiment says of one metric.

    Parameters
    ----------
    metric
        Its name.
    config, multiplicity
        How it was tested.
    interval_alpha
        One minus the level of each interval.
    n_control_units, n_control_rows, control
        Units, observations and ratio of the control.
    comparisons
        One of each other variant.
    looked_at
        (t,) times of the looks.
    n_looks
        How often the data could have been looked at: distinct times of observation.
    mismatch
        The check of the division of units; None where nobody said what shares were meant, or no unit can tell.
    excluded, notes
        Of the observations.
    """

    metric: str
    config: SequentialConfig
    multiplicity: Multiplicity
    interval_alpha: float
    n_control_units: int
    n_control_rows: int
    control: float
    comparisons: tuple[Comparison, ...]
    looked_at: NDArray[np.datetime64]
    n_looks: int
    mismatch: RatioMismatch | None
    excluded: dict[str, int]
    notes: tuple[str, ...]

    @property
    def stopped_at(self) -> datetime | None:
        """The first moment at which a variant was found different; None if none was."""
        return min((each.found_at for each in self.comparisons if each.found_at is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis for a report."""
        return {
            "metric": self.metric,
            "alpha": self.config.alpha,
            "multiplicity": self.multiplicity,
            "interval_alpha": self.interval_alpha,
            "planned_units": self.config.planned_units,
            "variants": {each.name: each.to_dict(self.control) for each in self.comparisons},
            "stopped_at": _iso(self.stopped_at),
            "control": {"n_units": self.n_control_units, "n_rows": self.n_control_rows, "value": self.control},
            "n_looks": self.n_looks,
            "sample_ratio": None if self.mismatch is None else self.mismatch.to_dict(),
            "excluded": dict(self.excluded),
            "notes": list(self.notes),
        }


def analyze(
    observations: Observations,
    metric: str = "value",
    config: SequentialConfig | None = None,
    multiplicity: Multiplicity = "holm",
    shares: dict[str, float] | None = None,
) -> ExperimentAnalysis:
    """Return what the observations say, valid however often and whenever they are looked at.

    Parameters
    ----------
    observations
        Of one metric.
    metric
        Its name, for the report.
    config
        The level, and the size that the test is tuned for.
    multiplicity
        What is controlled over several variants: ``holm`` any false finding, ``fdr`` their share, ``none`` nothing.
    shares
        Of the units that each variant was meant to get; None: those that the observations themselves say, if they do.

    Raises
    ------
    DataError
        If a covariate differs between the variants: then it was not known before they acted, and would hide effects.
    InputError
        If shares are given of other variants than there are.
    """
    config = SequentialConfig() if config is None else config
    # The effect does not change with the origin of values and covariates; sums of squares stay exact near it.
    centre = np.average(observations.values, axis=0, weights=observations.weight)
    observations, origin = replace(observations, values=observations.values - centre), float(centre[0])
    looks, looked_at, n_looks = _looks(observations.observed_at)
    moments = [_moments(observations, i, looks) for i in range(len(observations.variants))]
    _check_covariates(observations, moments, config)
    paths = [follow(each, moments[0], config) for each in moments[1:]]
    found = find(np.stack([path.p_value for path in paths]), config.alpha, multiplicity)
    rows = np.bincount(observations.variant, minlength=len(moments))
    comparisons = []
    for i, path in enumerate(paths):
        name, look = observations.variants[i + 1], int(found.found_at[i])
        n_units = int(moments[i + 1].n[-1])
        low, high = (float(bounds[-1]) for bounds in path.interval(found.interval_alpha))
        effect = float(path.effect[-1])
        comparisons.append(
            Comparison(
                name=name,
                n_units=n_units,
                n_rows=int(rows[i + 1]),
                value=origin + float(moments[i + 1].ratio[-1]) if n_units else None,
                effect=_number(effect),
                low=_number(low),
                high=_number(high),
                p_value=float(found.adjusted[i, -1]),
                p_value_alone=float(path.p_value.min()),
                found_at=_time(looked_at[look]) if look >= 0 else None,
                variance_reduction=_reduction(path),
                path=path,
                peeking=peeking(path, config.alpha, look >= 0),
                novelty=_novelty(observations, i + 1),
            )
        )
    return ExperimentAnalysis(
        metric=metric,
        config=config,
        multiplicity=multiplicity,
        interval_alpha=found.interval_alpha,
        n_control_units=int(moments[0].n[-1]),
        n_control_rows=int(rows[0]),
        control=origin + float(moments[0].ratio[-1]),
        comparisons=tuple(comparisons),
        looked_at=looked_at,
        n_looks=n_looks,
        mismatch=_mismatch(observations, shares),
        excluded=dict(observations.excluded),
        notes=observations.notes,
    )


def _looks(observed_at: NDArray[np.datetime64]) -> tuple[NDArray[np.intp], NDArray[np.datetime64], int]:
    """Return after how many observations one looks (at the end of every distinct time, if those are not too many)."""
    last = np.flatnonzero(np.append(observed_at[1:] != observed_at[:-1], True))
    n_looks = len(last)
    if n_looks > _MOST_LOOKS:
        last = last[np.unique(np.linspace(0, n_looks - 1, _MOST_LOOKS).round().astype(np.intp))]
    return last + 1, observed_at[last], n_looks


def _moments(observations: Observations, variant: int, looks: NDArray[np.intp]) -> UnitMoments:
    own = observations.of(variant)
    counts = np.concatenate([[0], np.cumsum(own)])[looks]
    return running_moments(observations.unit[own], observations.values[own], observations.weight[own], counts)


def _check_covariates(observations: Observations, moments: list[UnitMoments], config: SequentialConfig) -> None:
    for column, name in enumerate(observations.covariates, start=1):
        alone = [_covariate(each, column + 1) for each in moments]
        for variant, each in zip(observations.variants[1:], alone[1:], strict=True):
            if follow(each, alone[0], config).p_value.min() < _COVARIATE_MOVED:
                raise DataError(
                    f"covariate {name!r} differs between {variant!r} and {CONTROL!r}, so the variant acts on it (as on "
                    "a prediction for the model that it chose): adjusting by it would hide the effect; take one that "
                    "was known before, such as the unit's past or a prediction for a fixed model"
                )


def _covariate(moments: UnitMoments, column: int) -> UnitMoments:
    """Return the moments of a covariate as if it were the metric; its skewness is not kept, and taken as none."""
    kept = [column, 1]
    cov = moments.cov[..., kept, :][..., :, kept]
    return UnitMoments(moments.n, moments.mean[..., kept], cov, np.zeros(len(moments.n)))


def _reduction(path: Path) -> float:
    if path.start is None or not path.unadjusted_variance[-1] > 0:
        return 0.0
    return float(1.0 - path.variance[-1] / path.unadjusted_variance[-1])


def _novelty(observations: Observations, variant: int) -> Novelty:
    """Return the effect in equal parts of the observations, in order of time."""
    edges = np.linspace(0, len(observations), _PARTS + 1).round().astype(int)
    parts = [(edges[i], edges[i + 1]) for i in range(_PARTS)]
    halves = [(edges[0], edges[_PARTS // 2]), (edges[_PARTS // 2], edges[-1])]

    def within(low: int, high: int) -> tuple[UnitMoments, UnitMoments]:
        return _within(observations, variant, low, high), _within(observations, 0, low, high)

    return novelty([within(*each) for each in parts], [within(*each) for each in halves])


def _within(observations: Observations, variant: int, low: int, high: int) -> UnitMoments:
    own = low + np.flatnonzero(observations.variant[low:high] == variant)
    values = observations.values[own, :1]
    last = np.array([len(own)])
    return running_moments(observations.unit[own], values, observations.weight[own], last)


def _mismatch(observations: Observations, shares: dict[str, float] | None) -> RatioMismatch | None:
    _, first = np.unique(observations.unit, return_index=True)
    first = np.sort(first)
    if shares is not None:
        expected = _ordered(shares, observations.variants)
    elif observations.meant is None:
        return None
    else:
        first = first[np.isfinite(observations.meant[first]).all(axis=1)]
        expected = observations.meant[first]
        if not len(first):
            return None
    return ratio_mismatch(observations.variant[first], expected)


def _ordered(shares: dict[str, float], variants: tuple[str, ...]) -> Floats:
    unknown = sorted(set(shares) - set(variants))
    missing = [name for name in variants if name not in shares]
    if unknown or missing:
        wrong = f"no variant {unknown[0]!r}" if unknown else f"no share of {missing[0]!r}"
        raise InputError(f"shares of {', '.join(shares)}: there is {wrong}; give one of each variant")
    return np.array([shares[name] for name in variants])


def _time(moment: np.datetime64) -> datetime:
    return datetime.fromtimestamp(int(moment.astype("datetime64[us]").astype(np.int64)) / 1e6, UTC)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
