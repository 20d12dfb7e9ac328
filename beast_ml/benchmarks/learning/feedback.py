"""How much of the full-information gain is reached from logs: with little feedback, and by length of the log.

The gain is quality on held-out questions at the mean cost of the logging policy, above the quality which that policy
gets: what a router that learnt from the log buys for the same money. Full information is the same learner with every
model's outcome on every training question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES, LogSet, PolicyName, taught_quality, taught_share
from beast_ml.evaluation.off_policy.rounds import normal_interval, standard_error
from beast_ml.logs.simulate.policies import LoggingPolicy, logging_policy
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.log_teacher import LogTeacher, teach

__all__ = ["FeedbackShare", "full_teachers", "logged_share"]

Progress = Callable[[str, int, int], None]

_FOLDS = 5


@dataclass(frozen=True)
class FeedbackShare:
    """What was reached from logs of one kind, means over logs.

    Parameters
    ----------
    n_labelled
        Labelled requests of a log.
    gain, full_gain
        In quality, from the log and from full information.
    kept, kept_low, kept_high
        gain / full_gain, with a 95% interval over logs and splits (of the ratio of means).
    share_of_gap
        Share of the zero-router-to-oracle gap closed at all costs together; below 0 where a router that takes its
        expectations at their word, without a gate, is worse than mixing single models.
    """

    n_labelled: float
    gain: float
    full_gain: float
    kept: float
    kept_low: float
    kept_high: float
    share_of_gap: float


def full_teachers(log_sets: Sequence[LogSet]) -> list[LogTeacher]:
    """Return what full information teaches, for each split of a set."""
    teachers = []
    for i, log_set in enumerate(log_sets):
        truth, training = log_set.outcomes, ~log_set.test
        n, m = int(training.sum()), len(truth.models)
        # With every outcome known nothing is off-policy: a propensity of one leaves no correction to make.
        teachers.append(
            teach(
                log_set.columns[training],
                truth.quality[training],
                truth.cost_usd[training],
                np.random.default_rng(i).integers(m, size=n),
                np.ones(n),
                query_fold(truth.rows(np.flatnonzero(training)).prompts, _FOLDS, i),
            )
        )
    return teachers


def logged_share(
    log_sets: Sequence[LogSet],
    full: Sequence[LogTeacher],
    policy_name: PolicyName,
    length: float,
    feedback: float,
    seed: int,
    progress: Progress = lambda *_: None,
) -> FeedbackShare:
    """Return what one-model-a-request logs reach, one log a split.

    Parameters
    ----------
    full
        What full information teaches on the same splits.
    length
        Share of the training questions that are asked, one request each.
    feedback
        Share of the requests whose answer gets a label. Costs are known of all.
    """
    gains, of_full, labelled, shares = [], [], [], []
    for i, (log_set, informed) in enumerate(zip(log_sets, full, strict=True)):
        policy = logging_policy(log_set.outcomes, LOGGING_POLICIES[policy_name])
        teacher, n_labelled = _learn(log_set, policy, length, feedback, i, np.random.default_rng([seed, i]))
        test = log_set.test
        quality, spent = (
            float((policy.probabilities[test] * values[test]).sum(axis=1).mean())
            for values in (log_set.outcomes.quality, log_set.outcomes.cost_usd)
        )
        gains.append(taught_quality(teacher, log_set, spent) - quality)
        of_full.append(taught_quality(informed, log_set, spent) - quality)
        labelled.append(n_labelled)
        shares.append(taught_share(teacher, log_set))
        progress(f"{policy_name}, {length:.0%} of the requests, {feedback:.0%} labelled", i + 1, len(log_sets))
    reached, most = np.array(gains), np.array(of_full)
    kept = float(reached.mean() / most.mean())
    _, low, high = normal_interval(kept, standard_error(reached - kept * most) / float(most.mean()))
    return FeedbackShare(
        float(np.mean(labelled)), float(reached.mean()), float(most.mean()), kept, low, high, float(np.mean(shares))
    )


def _learn(
    log_set: LogSet, policy: LoggingPolicy, length: float, feedback: float, fold_seed: int, rng: np.random.Generator
) -> tuple[LogTeacher, int]:
    """Return what one log teaches, and how many of its requests are labelled."""
    training = np.flatnonzero(~log_set.test)
    asked = np.sort(rng.permutation(training)[: max(round(length * len(training)), 1)])
    truth, n = log_set.outcomes.rows(asked), np.arange(len(asked))
    chosen = policy.choose(asked, rng.random(len(asked)))
    quality, cost = np.full(truth.quality.shape, np.nan), np.full(truth.quality.shape, np.nan)
    told = rng.random(len(asked)) < feedback
    quality[n[told], chosen[told]] = truth.quality[n[told], chosen[told]]
    cost[n, chosen] = truth.cost_usd[n, chosen]
    folds = query_fold(truth.prompts, _FOLDS, fold_seed)
    propensity = policy.probabilities[asked, chosen]
    return teach(log_set.columns[asked], quality, cost, chosen, propensity, folds), int(told.sum())
