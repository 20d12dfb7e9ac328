"""How much of the full-information routing gain is reached from logs: with little feedback, and by length of the log.

The gain is the share of the zero-router-to-oracle gap that a learner closes on held-out questions; full information is
the same learner with every model's outcome on every training question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES, LogSet, PolicyName, taught_share
from beast_ml.evaluation.off_policy.rounds import Floats, normal_interval, standard_error
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.logs.splits import query_fold
from beast_ml.predictors.log_teacher import teach

__all__ = ["FeedbackShare", "full_shares", "logged_share"]

Progress = Callable[[str, int, int], None]

_FOLDS = 5


@dataclass(frozen=True)
class FeedbackShare:
    """Share of the gap that was closed from logs of one kind, against full information.

    Parameters
    ----------
    n_labelled
        Mean number of labelled requests of a log.
    share
        Of the gap, mean over logs.
    kept, kept_low, kept_high
        Share / that of full information, with a 95% interval over logs and splits (of the ratio of means).
    """

    n_labelled: float
    share: float
    kept: float
    kept_low: float
    kept_high: float


def full_shares(log_sets: Sequence[LogSet], progress: Progress = lambda *_: None) -> Floats:
    """Return the share of the gap that full information closes, for each split of a set."""
    shares = []
    for i, log_set in enumerate(log_sets):
        truth, training = log_set.outcomes, ~log_set.test
        n, m = int(training.sum()), len(truth.models)
        # With every outcome known nothing is off-policy: a propensity of one leaves no correction to make.
        teacher = teach(
            log_set.columns[training],
            truth.quality[training],
            truth.cost_usd[training],
            np.random.default_rng(i).integers(m, size=n),
            np.ones(n),
            query_fold(truth.rows(training).prompts, _FOLDS, i),
        )
        shares.append(taught_share(teacher, log_set))
        progress("full information", i + 1, len(log_sets))
    return np.array(shares)


def logged_share(
    log_sets: Sequence[LogSet],
    full: Floats,
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
        What full information reaches on the same splits.
    length
        Share of the training questions that are asked, one request each.
    feedback
        Share of the requests whose answer gets a label. Costs are known of all.
    """
    shares, labelled = [], []
    for i, log_set in enumerate(log_sets):
        rng = np.random.default_rng([seed, i])
        training = np.flatnonzero(~log_set.test)
        asked = np.sort(rng.permutation(training)[: max(round(length * len(training)), 1)])
        policy = logging_policy(log_set.outcomes, LOGGING_POLICIES[policy_name])
        truth = log_set.outcomes.rows(asked)
        n = np.arange(len(asked))
        chosen = policy.choose(asked, rng.random(len(asked)))
        quality, cost = np.full(truth.quality.shape, np.nan), np.full(truth.quality.shape, np.nan)
        told = rng.random(len(asked)) < feedback
        quality[n[told], chosen[told]] = truth.quality[n[told], chosen[told]]
        cost[n, chosen] = truth.cost_usd[n, chosen]
        folds = query_fold(truth.prompts, _FOLDS, i)
        propensity = policy.probabilities[asked, chosen]
        teacher = teach(log_set.columns[asked], quality, cost, chosen, propensity, folds)
        shares.append(taught_share(teacher, log_set))
        labelled.append(int(told.sum()))
        progress(f"{policy_name}, {length:.0%} of the requests, {feedback:.0%} labelled", i + 1, len(log_sets))
    reached = np.array(shares)
    kept = float(reached.mean() / full.mean())
    mean, low, high = normal_interval(kept, standard_error(reached - kept * full) / float(full.mean()))
    return FeedbackShare(float(np.mean(labelled)), float(reached.mean()), mean, low, high)
