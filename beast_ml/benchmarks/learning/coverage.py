"""How often off-policy intervals hold the truth, how far estimates are off, and what the verdict says meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.learning.simulated_logs import LogWorld
from beast_ml.evaluation.off_policy.diagnostics import diagnose
from beast_ml.evaluation.off_policy.estimators import (
    ESTIMATORS,
    PerRound,
    TargetRounds,
    estimate_rounds,
)
from beast_ml.evaluation.off_policy.intervals import (
    INTERVALS,
    Interval,
    IntervalKind,
    Questions,
    always_valid,
    bernstein,
    bootstrap,
    normal,
)
from beast_ml.evaluation.off_policy.labels import prediction_powered
from beast_ml.evaluation.off_policy.rounds import Floats, effective_sample_size
from beast_ml.evaluation.off_policy.verdict import Answer, judge_log
from beast_ml.logs.simulate.policies import LoggingPolicy

__all__ = ["EstimatorRecord", "LabelRecord", "PolicyCell", "label_cell", "policy_cells"]


Progress = Callable[[str, int, int], None]

_RESAMPLES: Final = 200


@dataclass(frozen=True)
class EstimatorRecord:
    """One estimator over many logs.

    Parameters
    ----------
    rmse, bias
        Of the estimates, in units of quality; None where an estimate was not defined on some log.
    coverage, width
        Interval -> share of the logs whose interval held the truth; median width.
    covered
        (r,) whether the normal interval of each log did.
    """

    rmse: float | None
    bias: float | None
    coverage: dict[IntervalKind, float]
    width: dict[IntervalKind, float]
    covered: NDArray[np.bool_]


@dataclass(frozen=True)
class PolicyCell:
    """One set, logging policy and target policy, over many logs.

    Parameters
    ----------
    truth
        The target's true value.
    effective
        Mean effective sample size.
    estimators
        Estimator -> its record.
    answers
        (r,) the verdict on each log.
    """

    truth: float
    effective: float
    estimators: dict[str, EstimatorRecord]
    answers: tuple[Answer, ...]

    @property
    def answer(self) -> Answer:
        """The verdict on most logs."""
        return Counter(self.answers).most_common(1)[0][0]

    def trusted_coverage(self, estimator: str) -> tuple[float | None, int]:
        """Return the coverage of an estimator on the logs whose verdict is to trust, and how many those are."""
        trusted = np.array([answer == "trust" for answer in self.answers])
        n = int(trusted.sum())
        return (float(self.estimators[estimator].covered[trusted].mean()) if n else None), n


@dataclass(frozen=True)
class LabelRecord:
    """Prediction-powered estimates over many logs with few labels.

    Parameters
    ----------
    coverage
        Of normal intervals.
    saved
        Mean share of the labels that predictions spare.
    trust
        Mean of how much of the predictions was used.
    bad_coverage, bad_saved, bad_trust
        The same with predictions of other, random requests.
    """

    coverage: float
    saved: float
    trust: float
    bad_coverage: float
    bad_saved: float
    bad_trust: float


class _Tally:
    """Collects estimates and intervals of one estimator."""

    def __init__(self, truth: float) -> None:
        self._truth = truth
        self._values: list[float] = []
        self._ends: dict[IntervalKind, list[Interval]] = {kind: [] for kind in INTERVALS}

    def add(self, estimate: PerRound, ends: dict[IntervalKind, Interval]) -> None:
        self._values.append(estimate.value)
        for kind, interval in ends.items():
            self._ends[kind].append(interval)

    def record(self) -> EstimatorRecord:
        errors = np.array(self._values) - self._truth
        defined = bool(np.isfinite(errors).all())
        ends = {kind: np.array(intervals) for kind, intervals in self._ends.items()}
        held = {kind: (each[:, 0] <= self._truth) & (self._truth <= each[:, 1]) for kind, each in ends.items()}
        return EstimatorRecord(
            rmse=float(np.sqrt((errors**2).mean())) if defined else None,
            bias=float(errors.mean()) if defined else None,
            coverage={kind: float(each.mean()) for kind, each in held.items()},
            width={kind: float(np.median(each[:, 1] - each[:, 0])) for kind, each in ends.items()},
            covered=held["normal"],
        )


def policy_cells(
    world: LogWorld,
    policy: LoggingPolicy,
    n_logs: int,
    n_rounds: int,
    seed: int,
    progress: Progress = lambda *_: None,
) -> dict[str, PolicyCell]:
    """Return target -> what happened on logs that one policy wrote; all targets are evaluated on the same logs."""
    rng = np.random.default_rng(seed)
    prior = world.prior(policy, n_rounds, rng)
    counts = _counts(rng, n_rounds)
    truths = {name: world.truth(target) for name, target in world.targets.items()}
    tallies = {name: {each: _Tally(truth) for each in ESTIMATORS} for name, truth in truths.items()}
    answers: dict[str, list[Answer]] = {name: [] for name in truths}
    effective: dict[str, list[float]] = {name: [] for name in truths}
    n_candidates = float(policy.candidates.sum(axis=1).mean())
    for i in range(n_logs):
        log = world.draw(policy, n_rounds, prior, rng)
        questions = Questions.of(log.rounds.question)
        for name, target in world.targets.items():
            speaking = TargetRounds.of(log.rounds, target[log.query])
            found = estimate_rounds(speaking, 1.0)
            most = float(target.max() / log.rounds.propensity.min())
            for (each, estimate), resampled in zip(
                found.items(), bootstrap(list(found.values()), questions, [counts]), strict=True
            ):
                ends: dict[IntervalKind, Interval] = {
                    "bootstrap": resampled,
                    "normal": normal(estimate, questions),
                    "bernstein": bernstein(estimate, questions, -most, 1.0 + most),
                    "always_valid": always_valid(estimate, questions),
                }
                tallies[name][each].add(estimate, ends)
            verdict = judge_log(diagnose(log.rounds, speaking, target[log.query], world.outcomes.models), n_candidates)
            answers[name].append(verdict.answer)
            effective[name].append(effective_sample_size(speaking.weight))
        progress(policy.version, i + 1, n_logs)
    return {
        name: PolicyCell(
            truths[name],
            float(np.mean(effective[name])),
            {each: tally.record() for each, tally in tallies[name].items()},
            tuple(answers[name]),
        )
        for name in truths
    }


def label_cell(
    world: LogWorld,
    policy: LoggingPolicy,
    n_logs: int,
    n_rounds: int,
    share: float,
    seed: int,
    progress: Progress = lambda *_: None,
) -> LabelRecord:
    """Return what predictions are worth where only a share of the answers is labelled.

    What is estimated is the value of the policy that wrote the log: labels are all that is lacking.
    """
    rng = np.random.default_rng(seed)
    prior = world.prior(policy, n_rounds, rng)
    truth = world.truth(policy.probabilities)
    held: list[list[bool]] = []
    used: list[list[float]] = []
    for i in range(n_logs):
        log = world.draw(policy, n_rounds, prior, rng, share)
        target = policy.probabilities[log.query]
        questions = Questions.of(log.rounds.question)
        speaking = TargetRounds.of(log.rounds, target)
        mixed = rng.permutation(n_rounds)
        strange = TargetRounds(
            weight=speaking.weight,
            residual=np.where(speaking.weight > 0, speaking.reward - speaking.of_chosen[mixed], 0.0),
            of_chosen=speaking.of_chosen[mixed],
            expected=speaking.expected[mixed],
            question=speaking.question,
            policy_weight=speaking.policy_weight,
        )
        good, bad = prediction_powered(speaking), prediction_powered(strange)
        ends = [normal(one.per_round, questions) for one in (good, bad)]
        held.append([low <= truth <= high for low, high in ends])
        used.append([good.labels_saved, good.trust, bad.labels_saved, bad.trust])
        progress(f"labels, {policy.version}", i + 1, n_logs)
    coverage, mean = np.mean(held, axis=0), np.mean(used, axis=0)
    return LabelRecord(
        coverage=float(coverage[0]),
        saved=float(mean[0]),
        trust=float(mean[1]),
        bad_coverage=float(coverage[1]),
        bad_saved=float(mean[2]),
        bad_trust=float(mean[3]),
    )


def _counts(rng: np.random.Generator, n_rounds: int) -> Floats:
    """Return resamples that all logs share: they say nothing of any one of them."""
    return rng.multinomial(n_rounds, np.full(n_rounds, 1.0 / n_rounds), size=_RESAMPLES).astype(np.float64)
