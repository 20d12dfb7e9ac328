"""How much of the full-information gain is reached from logs: with little feedback, and by length of the log.

The gain is quality on held-out questions at the mean cost of drawing models uniformly, above the quality which that
gets: what a router that learnt from the log buys for the same money. Full information is the same learner with every
model's outcome on every training question. Costs are expected as full information teaches them: what a log hides of
them, prices and tokens tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beast_ml.benchmarks.learning.served_logs import ServedLog, Way, serve
from beast_ml.benchmarks.partial_feedback import LogSet, taught_quality, taught_share
from beast_ml.evaluation.off_policy.rounds import normal_interval, standard_error
from beast_ml.logs.splits import query_fold
from beast_ml.policy.utility import Predictions, choose, willingness_grid
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.log_teacher import LogTeacher, teach

__all__ = ["FeedbackShare", "World", "full_worlds", "logged_shares"]

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
    given_up
        Quality that exploring gave up a request of the whole log; see `ServedLog`.
    """

    n_labelled: float
    gain: float
    full_gain: float
    kept: float
    kept_low: float
    kept_high: float
    share_of_gap: float
    given_up: float


@dataclass(frozen=True)
class World:
    """One split of a set, and what full information teaches there.

    Parameters
    ----------
    log_set
        The split.
    full
        The teacher that saw every outcome.
    cost_usd
        (N, m) costs as it expects them.
    spent, quality
        What uniform draws cost and get on the held-out queries, a query.
    willingness
        USD for a unit of quality at which its router spends what uniform draws cost.
    """

    log_set: LogSet
    full: LogTeacher
    cost_usd: Floats
    spent: float
    quality: float
    willingness: float


def full_worlds(log_sets: Sequence[LogSet]) -> list[World]:
    """Return what full information teaches, for each split of a set."""
    worlds = []
    for i, log_set in enumerate(log_sets):
        truth, training = log_set.outcomes, ~log_set.test
        n, m = int(training.sum()), len(truth.models)
        # With every outcome known nothing is off-policy: a propensity of one leaves no correction to make.
        full = teach(
            log_set.columns[training],
            truth.quality[training],
            truth.cost_usd[training],
            np.random.default_rng(i).integers(m, size=n),
            np.ones(n),
            query_fold(truth.rows(np.flatnonzero(training)).prompts, _FOLDS, i),
        )
        assert full.cost is not None  # noqa: S101  it was given costs
        cost = full.cost.predict(log_set.columns)
        expected = Predictions(truth.models, full.quality.predict(log_set.columns)[training], cost[training])
        finite = willingness_grid(expected)[1:-1]  # neither cost alone nor quality alone
        paid = [float(truth.cost_usd[training][np.arange(n), choose(expected, w)].mean()) for w in finite]
        willingness = float(finite[int(np.abs(np.array(paid) - truth.cost_usd[training].mean()).argmin())])
        test = log_set.test
        spent, quality = float(truth.cost_usd[test].mean()), float(truth.quality[test].mean())
        worlds.append(World(log_set, full, cost, spent, quality, willingness))
    return worlds


def logged_shares(
    worlds: Sequence[World],
    way: Way,
    lengths: Sequence[float],
    feedback: float,
    seed: int,
    progress: Progress = lambda *_: None,
) -> list[FeedbackShare]:
    """Return what one-model-a-request logs reach by their length, one log a split.

    Parameters
    ----------
    way
        How the router that wrote the log explored.
    lengths
        Shares of the training questions that were asked until then, one request each.
    feedback
        Share of the requests whose answer gets a label. Costs are known of all.
    """
    reached: list[list[tuple[float, float, int]]] = [[] for _ in lengths]
    most, given_up = [], []
    for i, world in enumerate(worlds):
        rng = np.random.default_rng([seed, i])
        log = serve(world.log_set, way, world.cost_usd, world.willingness, feedback, rng)
        for of_length, length in zip(reached, lengths, strict=True):
            n = max(round(length * len(log.asked)), 1)
            teacher = _learn(world, log, n, i)
            gain = taught_quality(teacher, world.log_set, world.spent) - world.quality
            of_length.append((gain, taught_share(teacher, world.log_set), int(log.told[:n].sum())))
        most.append(taught_quality(world.full, world.log_set, world.spent) - world.quality)
        given_up.append(log.given_up)
        progress(f"{way}, {feedback:.0%} labelled", i + 1, len(worlds))
    return [_summed(np.array(each), np.array(most), float(np.mean(given_up))) for each in reached]


def _summed(found: Floats, most: Floats, given_up: float) -> FeedbackShare:
    gain, share, labelled = found.T
    kept = float(gain.mean() / most.mean())
    _, low, high = normal_interval(kept, standard_error(gain - kept * most) / float(most.mean()))
    return FeedbackShare(
        float(labelled.mean()), float(gain.mean()), float(most.mean()), kept, low, high, float(share.mean()), given_up
    )


def _learn(world: World, log: ServedLog, n: int, fold_seed: int) -> LogTeacher:
    """Return what the first n requests of a log teach."""
    truth, asked = world.log_set.outcomes, log.asked[:n]
    folds = query_fold(truth.rows(asked).prompts, _FOLDS, fold_seed)
    quality = log.outcomes(truth.quality, n)
    taught = teach(world.log_set.columns[asked], quality, None, log.chosen[:n], log.propensity[:n], folds)
    return replace(taught, cost=world.full.cost)
