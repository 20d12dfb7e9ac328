"""Learning from one-model-a-request logs whose truth is known: whether harm is avoided, and what gain is kept.

Logs are drawn from full-information outcomes: a logging policy chooses a model for every training question, and only
that outcome is shown. What is deployed after the log is worth what the held-out questions say, where every model's
outcome is known. The served family is fixed: the pooled ridge of `beast_ml.predictors.log_teacher`, on features
embedded once a set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.off_policy.rounds import LoggedRounds, normal_interval, standard_error
from beast_ml.evaluation.routing_metrics import Points, Scoreboard
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import PolicyConfig
from beast_ml.logs.simulate.policies import LoggingPolicy, logging_policy
from beast_ml.logs.splits import holdout_mask, query_fold, question_numbers
from beast_ml.operations.log_decision import LogDecision, decide_from_log, decisions_at
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import Predictions, choose, willingness_grid
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.log_teacher import AmountTeacher, LogTeacher, teach
from beast_ml.predictors.logging_policy import estimate_logging_policy
from beast_ml.predictors.teacher_columns import TeacherColumns

__all__ = [
    "LOGGING_POLICIES",
    "MMLU_PRO_POOL",
    "LogSet",
    "NoHarmCell",
    "PolicyName",
    "UniformShare",
    "learn_from_simulated_log",
    "no_harm_cell",
    "prepare_log_set",
    "taught_quality",
    "taught_share",
    "uniform_share",
]

PolicyName = Literal["uniform", "softmax", "epsilon-0.2", "epsilon-0.05"]
"""Policies that write the logs."""

LOGGING_POLICIES: Final[dict[PolicyName, PolicyConfig]] = {
    "uniform": PolicyConfig(kind="uniform"),
    "softmax": PolicyConfig(kind="softmax", temperature=0.1, per="model"),
    "epsilon-0.2": PolicyConfig(kind="epsilon-greedy", epsilon=0.2, per="model"),
    "epsilon-0.05": PolicyConfig(kind="epsilon-greedy", epsilon=0.05, per="model"),
}
"""Mean quality over the whole set decides what is preferred: the strongest single model, which is the hardest to leave
without harm. The softmax's temperature of 0.1 gives a model that is 0.23 worse a tenth of the best one's share."""

MMLU_PRO_POOL: Final = (
    "Meta-Llama-3_1-70B-Instruct",
    "Meta-Llama-3_1-8B-Instruct",
    "Mixtral-8x7B-Instruct-v0.1",
    "Phi-3-mini-4k-instruct",
    "Qwen1.5-110B",
    "gemini-1.5-flash-002",
    "gemini-1.5-pro-002",
    "jamba-1.5-large",
)
"""Eight of the 29 models of mmlu_pro, one or two of a vendor, over the whole range of quality and of price."""

_TEST_FRACTION: Final = 0.3
_FOLDS: Final = 5
_CHANCE: Final = 0.05

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LogSet:
    """Outcomes that logs are drawn from: complete queries with cost, split by question, features computed once.

    Parameters
    ----------
    outcomes
        n queries x m models, nothing missing.
    columns
        (n, k) of `TeacherColumns`, fitted to the training questions and their tasks.
    test
        (n,) which queries are held out.
    """

    outcomes: OutcomeMatrix
    columns: Floats
    test: NDArray[np.bool_]


@dataclass(frozen=True)
class NoHarmCell:
    """One set under one logging policy, over several logs. Losses are in units of quality.

    Parameters
    ----------
    policy
        The logging policy.
    n_logs
        Logs drawn.
    n_train, n_test
        Requests of a log; held-out queries.
    logging_quality
        True value of the logging policy on the held-out queries, without failures.
    mean_loss, loss_low, loss_high
        Logging policy minus deployed policy, mean over the logs with a 95% interval of that mean.
    worst_loss
        Of a single log.
    n_below
        Logs whose own 95% interval of the gain, over held-out queries, lies below zero.
    n_below_allowed
        The most that chance gives (95%) if none did harm, each with probability 0.025.
    promoted
        What was deployed: how often "stay", "single", "router".
    mean_cost_ratio
        Cost of the deployed policy over the logging policy's, mean over the logs.
    loss_without_gate
        Mean loss of the router that takes the highest predicted quality, with neither pessimism nor gate: what the
        machinery is for.
    """

    policy: str
    n_logs: int
    n_train: int
    n_test: int
    logging_quality: float
    mean_loss: float
    loss_low: float
    loss_high: float
    worst_loss: float
    n_below: int
    n_below_allowed: int
    promoted: dict[str, int]
    mean_cost_ratio: float
    loss_without_gate: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


@dataclass(frozen=True)
class UniformShare:
    """Share of the zero-router-to-oracle gap that a uniform log keeps of full information, mean over logs.

    Parameters
    ----------
    full, logged
        Shares closed by the same family learning from all outcomes, and from one outcome a query.
    kept, kept_low, kept_high
        logged / full, with a 95% interval over logs and splits (of the ratio of means).
    n_logs
        Logs drawn, each on its own split.
    """

    full: float
    logged: float
    kept: float
    kept_low: float
    kept_high: float
    n_logs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self)


def prepare_log_set(outcomes: OutcomeMatrix, encoder: Encoder, seed: int = 0) -> LogSet:
    """Return a set ready to draw logs from; queries without quality and cost of every model are left out."""
    complete = np.isfinite(np.hstack([outcomes.quality, outcomes.cost_usd])).all(axis=1)
    kept = outcomes.rows(np.flatnonzero(complete))
    test = holdout_mask(kept.prompts, _TEST_FRACTION, seed)
    spec = FeatureSpec.learn(encoder, [prompt for prompt, held in zip(kept.prompts, test, strict=True) if not held])
    rows = FeatureBuilder(spec, encoder).matrix(kept.prompts)
    columns = TeacherColumns.fit(rows[~test], spec.encoder_dim, kept.tasks[~test], np.random.default_rng([seed, 0]))
    return LogSet(kept, columns.transform(rows), test)


def no_harm_cell(
    log_set: LogSet, policy_name: PolicyName, n_logs: int, seed: int, progress: Progress = lambda *_: None
) -> NoHarmCell:
    """Return what learning from simulated logs of one policy does to held-out queries.

    Each log has one request a training question, propensities as logged. ``progress`` is called with (what, done, all).

    Raises
    ------
    InputError
        If the policy is not one of `LOGGING_POLICIES`, or there are fewer than two logs.
    """
    if policy_name not in LOGGING_POLICIES:
        raise InputError(f"`policy_name` == {policy_name!r}, must be one of {', '.join(get_args(PolicyName))}")
    if n_logs < 2:
        raise InputError(f"`n_logs` == {n_logs}, must be >= 2: a mean over logs needs an interval")
    truth = log_set.outcomes
    policy = logging_policy(truth, LOGGING_POLICIES[policy_name])
    test = log_set.test
    quality, cost = truth.quality[test], truth.cost_usd[test]
    logged_quality = (policy.probabilities[test] * quality).sum(axis=1)
    logged_cost = float((policy.probabilities[test] * cost).sum(axis=1).mean())
    losses, naive, ratios, below = [], [], [], 0
    promoted = {"stay": 0, "single": 0, "router": 0}
    rows = np.arange(len(quality))
    for i in range(n_logs):
        decision, teacher = learn_from_simulated_log(log_set, policy, np.random.default_rng([seed, i]))
        gain = np.zeros(len(quality))
        paid = logged_cost
        if decision.promoted and decision.point is not None:
            promoted[decision.point.kind] += 1
            decisions = decisions_at(decision.point, _predictions(truth.models, teacher, log_set.columns[test]))
            gain = quality[rows, decisions] - logged_quality
            paid = float(cost[rows, decisions].mean())
        else:
            promoted["stay"] += 1
        greedy = teacher.quality.predict(log_set.columns[test]).argmax(axis=1)
        naive.append(float((logged_quality - quality[rows, greedy]).mean()))
        losses.append(-float(gain.mean()))
        ratios.append(paid / logged_cost if logged_cost > 0 else 1.0)
        below += normal_interval(float(gain.mean()), standard_error(gain))[2] < 0
        progress(policy_name, i + 1, n_logs)
    mean, low, high = normal_interval(float(np.mean(losses)), standard_error(np.array(losses)))
    return NoHarmCell(
        policy=policy_name,
        n_logs=n_logs,
        n_train=int((~test).sum()),
        n_test=int(test.sum()),
        logging_quality=float(logged_quality.mean()),
        mean_loss=mean,
        loss_low=low,
        loss_high=high,
        worst_loss=max(losses),
        n_below=int(below),
        n_below_allowed=_allowed(n_logs),
        promoted=promoted,
        mean_cost_ratio=float(np.mean(ratios)),
        loss_without_gate=float(np.mean(naive)),
    )


def learn_from_simulated_log(
    log_set: LogSet, policy: LoggingPolicy, rng: np.random.Generator
) -> tuple[LogDecision, LogTeacher]:
    """Draw one log over the training questions, learn from it, and decide what to deploy."""
    training = np.flatnonzero(~log_set.test)
    truth = log_set.outcomes.rows(training)
    chosen = policy.choose(training, rng.random(len(training)))
    n = np.arange(len(training))
    shown = np.zeros(truth.quality.shape, dtype=bool)
    shown[n, chosen] = True
    quality, cost = np.where(shown, truth.quality, np.nan), np.where(shown, truth.cost_usd, np.nan)
    propensity = policy.probabilities[training, chosen]
    folds = query_fold(truth.prompts, _FOLDS, int(rng.integers(2**31)))
    columns = log_set.columns[training]
    teacher = teach(columns, quality, cost, chosen, propensity, folds)
    logging = estimate_logging_policy(columns, chosen, len(truth.models), folds, rng).probabilities
    question = question_numbers(truth.prompts)
    rounds = LoggedRounds(chosen, propensity, quality[n, chosen], teacher.out_of_fold, question, logging)
    costs = LoggedRounds(chosen, propensity, cost[n, chosen], _of_cost(teacher).out_of_fold, question, logging)
    lowered = Predictions(truth.models, teacher.lower_out_of_fold, _of_cost(teacher).out_of_fold)
    return decide_from_log(lowered, rounds, costs, folds), teacher


def uniform_share(
    outcomes: OutcomeMatrix, encoder: Encoder, n_logs: int, seed: int, progress: Progress = lambda *_: None
) -> UniformShare:
    """Return how much of the full-information share a uniform log keeps, each log on its own split of the questions."""
    full: list[float] = []
    logged: list[float] = []
    for i in range(n_logs):
        log_set = prepare_log_set(outcomes, encoder, seed + i)
        truth, training = log_set.outcomes, ~log_set.test
        rng = np.random.default_rng([seed, i])
        m = len(truth.models)
        n = int(training.sum())
        chosen = rng.integers(m, size=n)
        shown = np.zeros((n, m), dtype=bool)
        shown[np.arange(n), chosen] = True
        folds = query_fold(truth.rows(training).prompts, _FOLDS, i)
        for seen, shares in ((np.ones((n, m), dtype=bool), full), (shown, logged)):
            quality = np.where(seen, truth.quality[training], np.nan)
            cost = np.where(seen, truth.cost_usd[training], np.nan)
            # With every outcome known nothing is off-policy: a propensity of one leaves no correction to make.
            propensity = np.full(n, 1.0 if seen.all() else 1.0 / m)
            teacher = teach(log_set.columns[training], quality, cost, chosen, propensity, folds)
            shares.append(taught_share(teacher, log_set))
        progress("uniform share", i + 1, n_logs)
    a, b = np.array(full), np.array(logged)
    kept = float(b.mean() / a.mean())
    mean, low, high = normal_interval(kept, standard_error(b - kept * a) / float(a.mean()))
    return UniformShare(float(a.mean()), float(b.mean()), mean, low, high, n_logs)


def taught_share(teacher: LogTeacher, log_set: LogSet) -> float:
    """Return the share of the zero-router-to-oracle gap that a teacher's expectations close on the held-out queries."""
    board, points = _taught(teacher, log_set)
    return float(board.curve_metrics(points)["share_of_gap"][0])


def taught_quality(teacher: LogTeacher, log_set: LogSet, cost_usd: float) -> float:
    """Return the mean quality on the held-out queries that a teacher's expectations buy at a mean cost."""
    board, points = _taught(teacher, log_set)
    return float(board.frontier(points).quality_at(np.array([cost_usd]))[0])


def _taught(teacher: LogTeacher, log_set: LogSet) -> tuple[Scoreboard, Points]:
    truth, training, test = log_set.outcomes, ~log_set.test, log_set.test
    columns = log_set.columns[test]
    expected = Predictions(truth.models, teacher.quality.predict(columns), _of_cost(teacher).predict(columns))
    board = Scoreboard(
        quality=truth.quality[test],
        cost=truth.cost_usd[test],
        reference=best_single_model(truth.quality[training], truth.cost_usd[training]),
        willingness=float("inf"),
        bootstrap=QueryBootstrap.draw(np.random.default_rng(0), int(test.sum()), 1),
    )
    choices = np.stack([choose(expected, willingness) for willingness in willingness_grid(expected)])
    return board, board.points(choices.astype(np.int16))


def _predictions(models: tuple[str, ...], teacher: LogTeacher, columns: Floats) -> Predictions:
    return Predictions(models, teacher.lower(columns), _of_cost(teacher).predict(columns))


def _allowed(n_logs: int) -> int:
    """Return the 95% quantile of Binomial(n, 0.025)."""
    from scipy.stats import binom

    return int(binom.ppf(1.0 - _CHANCE, n_logs, 0.025))


def _of_cost(teacher: LogTeacher) -> AmountTeacher:
    assert teacher.cost is not None  # noqa: S101  every log here has costs
    return teacher.cost
