"""What the sequential tests of experiments keep, save and cost: on drawn data with known truth, and real outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.proportion import wilson
from beast_ml.experiments.design import design_for_effect
from beast_ml.experiments.moments import UnitMoments, difference
from beast_ml.experiments.multiplicity import MULTIPLICITIES, Multiplicity, find
from beast_ml.experiments.running_moments import running_moments
from beast_ml.experiments.sequential_test import Path, SequentialConfig, follow
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = [
    "OUTCOMES",
    "FalseAlarms",
    "ManyVariants",
    "SamplesSaved",
    "VarianceReduction",
    "false_alarms",
    "many_variants",
    "samples_saved",
    "variance_reduction",
]

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
Kind = Literal["normal", "binary", "rare", "rarer", "skewed", "users"]

OUTCOMES: Final[dict[str, tuple[Kind, float]]] = {
    "normal, halves": ("normal", 0.5),
    "binary (0.5), halves": ("binary", 0.5),
    "rare (0.05), a tenth": ("rare", 0.1),
    "rare (0.01), halves": ("rarer", 0.5),
    "lognormal, halves": ("skewed", 0.5),
    "lognormal, a tenth": ("skewed", 0.1),
    "users with several requests, a tenth": ("users", 0.1),
}
"""Name -> what is drawn, and the variant's share of the units."""

_ALPHA: Final = 0.05
_RARE: Final[dict[Kind, float]] = {"rare": 0.05, "rarer": 0.01}
_TIMES_MDE: Final = (1.0, 1.5, 2.0, 3.0)
_REQUESTS_PER_USER: Final = 5


@dataclass(frozen=True)
class FalseAlarms:
    """How often a difference was ever claimed where there is none.

    Parameters
    ----------
    outcomes
        One of `OUTCOMES`.
    n_simulations, n_looks
        Experiments drawn; looks at each.
    rate, low, high
        Share of the experiments with a claim, with its 95% (Wilson) interval.
    ordinary_rate
        The same of an ordinary test at the same looks.
    """

    outcomes: str
    n_simulations: int
    n_looks: int
    rate: float
    low: float
    high: float
    ordinary_rate: float


@dataclass(frozen=True)
class SamplesSaved:
    """Where the sequential test ends, against the fixed-horizon test of the same power.

    Parameters
    ----------
    times_mde
        The true effect over the one that both were planned for.
    n_fixed, n_most
        Units of the fixed horizon; where the sequential test gives up.
    power
        Share of experiments in which it found the effect.
    mean_ratio, low, high
        Units it took over n_fixed, mean with a 95% interval.
    """

    times_mde: float
    n_fixed: int
    n_most: int
    power: float
    mean_ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class VarianceReduction:
    """What covariates take away of an effect's variance, on real outcomes.

    Parameters
    ----------
    dataset, control, variant
        The set, and the models that the two variants always ask.
    n_queries
        Each a unit.
    reduction
        1 - adjusted / unadjusted variance, mean over assignments.
    effect_bias, bias_error
        Adjusted effect minus the true one (all outcomes are known), mean over assignments, and its standard error.
    """

    dataset: str
    control: str
    variant: str
    n_queries: int
    reduction: float
    effect_bias: float
    bias_error: float


@dataclass(frozen=True)
class ManyVariants:
    """Eleven variants against one control, looked at all the time.

    Parameters
    ----------
    method
        What is controlled.
    n_simulations, n_different
        Experiments drawn; variants of each that really differ.
    fdr
        Mean share of false ones among those found.
    fwer
        Share of experiments with any false finding.
    found
        Mean share of the different ones that were found.
    """

    method: str
    n_simulations: int
    n_different: int
    fdr: float
    fwer: float
    found: float


def false_alarms(
    name: str, n_simulations: int, n_looks: int, seed: int, progress: Progress = lambda *_: None
) -> FalseAlarms:
    """Return how often no difference is called one, looking after every observation."""
    kind, share = OUTCOMES[name]
    rng = np.random.default_rng(seed)
    claims = ordinary = 0
    for i in range(n_simulations):
        unit, values = _drawn(kind, n_looks, rng)
        treated = (rng.random(unit.max() + 1) < share)[unit]
        looks = _compared(unit, values, treated)
        claims += bool(looks.p_value.min() <= _ALPHA)
        if looks.start is not None:
            later = slice(looks.start, None)
            ordinary += bool((np.abs(looks.effect[later]) > 1.96 * np.sqrt(looks.variance[later])).any())
        progress(f"false alarms: {name}", i + 1, n_simulations)
    low, high = wilson(claims / n_simulations, n_simulations)
    return FalseAlarms(name, n_simulations, n_looks, claims / n_simulations, low, high, ordinary / n_simulations)


def samples_saved(n_simulations: int, seed: int, progress: Progress = lambda *_: None) -> list[SamplesSaved]:
    """Return where the test ends if the effect is what it was planned for, or larger; normal values, equal halves."""
    planned = design_for_effect(0.2, 1.0)
    rng = np.random.default_rng(seed)
    figures = []
    for times in _TIMES_MDE:
        ratios = np.empty(n_simulations)
        found = 0
        for i in range(n_simulations):
            treated = np.arange(planned.n_most) % 2 == 1
            values = rng.normal(size=planned.n_most) + times * planned.effect * treated
            looks = _compared(np.arange(planned.n_most), values, treated, planned.planned_units)
            significant = looks.p_value <= _ALPHA
            found += bool(significant.any())
            ratios[i] = (significant.argmax() + 1 if significant.any() else planned.n_most) / planned.n_fixed
            progress(f"samples saved: {times:g} x MDE", i + 1, n_simulations)
        error = 1.96 * float(ratios.std(ddof=1)) / n_simulations**0.5
        mean = float(ratios.mean())
        figures.append(
            SamplesSaved(
                times, planned.n_fixed, planned.n_most, found / n_simulations, mean, mean - error, mean + error
            )
        )
    return figures


def variance_reduction(
    dataset: str, outcomes: OutcomeMatrix, predicted: Floats, n_assignments: int, seed: int
) -> VarianceReduction:
    """Return what cross-fitted predictions take away of the variance, for the best two models on average.

    Parameters
    ----------
    outcomes
        Two models: the control's, then the variant's; quality of both known everywhere.
    predicted
        (n, 2) predicted quality of both for every query, by predictors that did not see it: known before any choice.
    """
    rng = np.random.default_rng(seed)
    n = outcomes.n_queries
    truth = float((outcomes.quality[:, 1] - outcomes.quality[:, 0]).mean())
    reductions, biases = np.empty(n_assignments), np.empty(n_assignments)
    for i in range(n_assignments):
        treated = rng.random(n) < 0.5
        realised = np.where(treated, outcomes.quality[:, 1], outcomes.quality[:, 0])
        totals = np.column_stack([realised, np.ones(n), predicted])
        compared = difference(UnitMoments.of(totals[treated]), UnitMoments.of(totals[~treated]))
        reductions[i] = 1.0 - compared.variance / compared.unadjusted_variance
        biases[i] = compared.effect - truth
    control, variant = outcomes.models
    return VarianceReduction(
        dataset,
        control,
        variant,
        n,
        float(reductions.mean()),
        float(biases.mean()),
        float(biases.std(ddof=1) / n_assignments**0.5),
    )


def many_variants(
    n_simulations: int, seed: int, n_units: int = 6_000, n_different: int = 3, progress: Progress = lambda *_: None
) -> list[ManyVariants]:
    """Return what is found among eleven variants of which some really differ, by 0.3 standard deviations."""
    rng = np.random.default_rng(seed)
    methods: tuple[Multiplicity, ...] = MULTIPLICITIES
    false, true = np.zeros((len(methods), n_simulations)), np.zeros((len(methods), n_simulations))
    for i in range(n_simulations):
        arm = rng.integers(12, size=n_units)
        values = rng.normal(size=n_units) + 0.3 * ((arm >= 1) & (arm <= n_different))
        unit = np.arange(n_units)
        moments = [_moments(unit, values, arm == j) for j in range(12)]
        p_values = np.stack([follow(each, moments[0], SequentialConfig(_ALPHA)).p_value for each in moments[1:]])
        for m, method in enumerate(methods):
            found = find(p_values, _ALPHA, method).found_at >= 0
            true[m, i], false[m, i] = found[:n_different].sum(), found[n_different:].sum()
        progress("twelve variants", i + 1, n_simulations)
    return [
        ManyVariants(
            method,
            n_simulations,
            n_different,
            float((false[m] / np.maximum(false[m] + true[m], 1)).mean()),
            float((false[m] > 0).mean()),
            float(true[m].mean() / n_different),
        )
        for m, method in enumerate(methods)
    ]


def _drawn(kind: Kind, n: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats]:
    """Return n observations in order of time: whose they are, and their values."""
    unit = np.arange(n)
    if kind == "normal":
        return unit, rng.normal(size=n)
    if kind == "binary":
        return unit, (rng.random(n) < 0.5).astype(float)
    if kind in _RARE:
        return unit, (rng.random(n) < _RARE[kind]).astype(float)
    if kind == "skewed":
        return unit, rng.lognormal(size=n)
    users = rng.integers(n // _REQUESTS_PER_USER, size=n)
    return users, rng.normal(size=n // _REQUESTS_PER_USER)[users] + rng.normal(size=n)


def _compared(unit: NDArray[np.intp], values: Floats, treated: NDArray[np.bool_], planned_units: int = 2_000) -> Path:
    centred = values - values.mean()
    sides = (_moments(unit, centred, treated), _moments(unit, centred, ~treated))
    return follow(*sides, SequentialConfig(_ALPHA, planned_units))


def _moments(unit: NDArray[np.intp], values: Floats, own: NDArray[np.bool_]) -> UnitMoments:
    return running_moments(unit[own], values[own][:, None], np.ones(int(own.sum())), np.cumsum(own))
