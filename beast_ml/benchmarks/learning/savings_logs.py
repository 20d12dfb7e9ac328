"""Savings reports on logs drawn again and again from outcomes whose truth is known: do their intervals hold it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.outcome_model import choose_outcome_prior, predict_outcomes, request_columns
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.policies import LoggingPolicy
from beast_ml.logs.splits import query_fold
from beast_ml.operations.savings.choices import list_switches
from beast_ml.operations.savings.decider import log_decider
from beast_ml.operations.savings.estimates import SwitchEstimate
from beast_ml.operations.savings.log import SavingsLog
from beast_ml.operations.savings.report import rank_switches
from beast_ml.operations.savings.switches import Switch, without
from beast_ml.operations.selection.accuracy import regret_of_log
from beast_ml.predictors.pooled_ridge import RidgePrior

__all__ = ["SavingsRecord", "SavingsWorld", "Truth", "record_of"]

_COLUMNS: Final = 48
_FOLDS: Final = 5
_DAYS: Final = 30.0


@dataclass(frozen=True)
class Truth:
    """What a switch truly comes to on some requests: the saving as a share of the cost, the change of quality."""

    saving: float
    quality: float


@dataclass(frozen=True)
class SavingsRecord:
    """What one report said, beside the truth.

    Parameters
    ----------
    all_held
        Whether the intervals of all switches that the log can tell of held the truth at once.
    recommends
        Whether a switch was recommended.
    saving_held, quality_held
        Whether its checked intervals held the truth; None without a recommendation.
    chosen_saving, checked_saving, true_saving
        Its saving where it was chosen, where it was checked, and truly on the latter; None without a recommendation.
    true_quality
        Its true change of quality there.
    regret_error
        Estimated minus true regret of the log's choices, in standard errors.
    """

    all_held: bool
    recommends: bool
    saving_held: bool | None
    quality_held: bool | None
    chosen_saving: float | None
    checked_saving: float | None
    true_saving: float | None
    true_quality: float | None
    regret_error: float


@dataclass(frozen=True)
class SavingsWorld:
    """A set that logs are drawn from: requests independently, with replacement, from its queries.

    Parameters
    ----------
    outcomes
        N queries x m models, every quality and cost known.
    columns, folds
        (N, k) and (N,) of the queries.
    """

    outcomes: OutcomeMatrix
    columns: Floats
    folds: NDArray[np.intp]

    @classmethod
    def of(cls, outcomes: OutcomeMatrix, encoder: Encoder, seed: int = 0) -> SavingsWorld:
        """Return the world of an outcome set; queries of which an outcome is not known are left out."""
        known = np.isfinite(outcomes.quality).all(axis=1) & np.isfinite(outcomes.cost_usd).all(axis=1)
        kept = outcomes.rows(np.flatnonzero(known))
        columns = request_columns(kept.prompts, encoder, np.random.default_rng(seed), _COLUMNS)
        return cls(kept, columns, query_fold(kept.prompts, _FOLDS, seed))

    def priors(self, policy: LoggingPolicy, n: int, rng: np.random.Generator) -> tuple[RidgePrior, RidgePrior]:
        """Return the outcome models' priors for quality and for cost, chosen on a log that is not used otherwise."""
        query = rng.integers(len(self.folds), size=n)
        chosen = policy.choose(query, rng.random(n))
        columns, folds, m = self.columns[query], self.folds[query], len(self.outcomes.models)
        first, second = (
            choose_outcome_prior(columns, values[query, chosen], chosen, m, folds, 0.0, float(values.max()))
            for values in (self.outcomes.quality, self.outcomes.cost_usd)
        )
        return first, second

    def draw(
        self, policy: LoggingPolicy, n: int, priors: tuple[RidgePrior, RidgePrior], rng: np.random.Generator
    ) -> tuple[SavingsLog, NDArray[np.intp]]:
        """Return a log of n requests, and (n,) the query that each asks."""
        query = rng.integers(len(self.folds), size=n)
        chosen = policy.choose(query, rng.random(n))
        columns, folds, m = self.columns[query], self.folds[query], len(self.outcomes.models)
        propensity = policy.probabilities[query, chosen]
        quality, cost = (
            LoggedRounds(
                chosen,
                propensity,
                values[query, chosen],
                predict_outcomes(columns, values[query, chosen], chosen, m, folds, 0.0, float(values.max()), prior),
                query,
                policy.probabilities[query],
            )
            for values, prior in zip((self.outcomes.quality, self.outcomes.cost_usd), priors, strict=True)
        )
        log = SavingsLog(
            models=self.outcomes.models,
            quality=quality,
            cost=cost,
            labelled=np.ones(n),
            paid=np.ones(n),
            candidates=np.ones((n, m), dtype=bool),
            cautious=quality.predicted,
            received_s=np.sort(rng.uniform(0.0, _DAYS * 86_400.0, n)),
            repeats=np.full(n, -1, dtype=np.intp),
            checking=(rng.random(len(self.folds)) < 0.5)[query],
            days=_DAYS,
            columns=columns,
            folds=folds,
        )
        return log, query

    def truth(
        self, log: SavingsLog, query: NDArray[np.intp], policy: LoggingPolicy, switch: Switch, part: NDArray[np.bool_]
    ) -> Truth:
        """Return what a switch truly comes to on a part of the requests, in the mean over what the log may choose."""
        everyone, chances = np.arange(len(query)), policy.probabilities[query]
        quality, cost = self.outcomes.quality[query], self.outcomes.cost_usd[query]
        gained, saved = np.zeros(len(query)), np.zeros(len(query))
        for a in range(len(log.models)):
            direct = self._direct(log, switch, a)
            gained += chances[:, a] * (quality[everyone, direct] - quality[:, a])
            saved += chances[:, a] * (cost[:, a] - cost[everyone, direct])
        spent = (chances * cost).sum(axis=1)
        return Truth(float(saved[part].sum() / spent[part].sum()), float(gained[part].mean()))

    def _direct(self, log: SavingsLog, switch: Switch, chosen: int) -> NDArray[np.intp]:
        """Return who would answer, had the log chosen this model everywhere."""
        if switch.kind != "without a model":
            return switch.redecided.direct
        model = next(j for j, name in enumerate(log.models) if switch.name.startswith(f"without {name},"))
        everywhere = replace(log, quality=replace(log.quality, chosen=np.full(len(log.chosen), chosen)))
        return without(everywhere, model, log_decider(log).preference()).direct


def record_of(
    world: SavingsWorld,
    policy: LoggingPolicy,
    n: int,
    priors: tuple[RidgePrior, RidgePrior],
    rng: np.random.Generator,
    n_resamples: int = 400,
) -> SavingsRecord:
    """Return what the report says on one new log, beside the truth."""
    log, query = world.draw(policy, n, priors, rng)
    ranked = rank_switches(log, list_switches(log, log_decider(log), 0.0), int(rng.integers(2**31)), n_resamples)
    told = [each for each in ranked if each.estimate.trusted]
    held = [
        _held(each.estimate, world.truth(log, query, policy, each.switch, ~log.checking)) == (True, True)
        for each in told
    ]
    regret = _regret_error(world, log, query, policy)
    first = ranked[0]
    if first.checked is None:
        return SavingsRecord(all(held), False, None, None, None, None, None, None, regret)
    truth = world.truth(log, query, policy, first.switch, log.checking)
    saving, quality = _held(first.checked, truth)
    return SavingsRecord(
        all(held),
        True,
        saving,
        quality,
        first.estimate.saving,
        first.checked.saving,
        truth.saving,
        truth.quality,
        regret,
    )


def _held(found: SwitchEstimate, truth: Truth) -> tuple[bool, bool]:
    return (
        found.saving_low <= truth.saving <= found.saving_high,
        found.quality_low <= truth.quality <= found.quality_high,
    )


def _regret_error(world: SavingsWorld, log: SavingsLog, query: NDArray[np.intp], policy: LoggingPolicy) -> float:
    _, values = regret_of_log(log.quality, log.labelled, log.candidates)
    best = log.quality.predicted.argmax(axis=1)
    quality = world.outcomes.quality[query]
    logged = (policy.probabilities[query] * quality).sum(axis=1)
    true = quality[np.arange(len(query)), best] - logged
    return float((values.mean() - true.mean()) / (values.std(ddof=1) / len(values) ** 0.5))
