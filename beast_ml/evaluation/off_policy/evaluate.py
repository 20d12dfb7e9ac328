"""One log, one target policy: every estimate with its intervals, the diagnostics, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.diagnostics import Diagnostics, diagnose
from beast_ml.evaluation.off_policy.estimators import PerRound, TargetRounds, estimate_rounds
from beast_ml.evaluation.off_policy.intervals import (
    NOTHING,
    Interval,
    Questions,
    always_valid,
    bernstein,
    bootstrap,
    normal,
    resample,
)
from beast_ml.evaluation.off_policy.labels import LabelModel, PredictionPowered, label_model, prediction_powered
from beast_ml.evaluation.off_policy.outcome_model import predict_outcomes, request_columns
from beast_ml.evaluation.off_policy.read import PolicyData, Usage
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds
from beast_ml.evaluation.off_policy.verdict import PolicyVerdict, judge_log
from beast_ml.features.encoder import Encoder
from beast_ml.logs.splits import query_fold, question_numbers

__all__ = ["HEADLINE", "PolicyEstimate", "PolicyEvaluation", "evaluate_policy", "evaluate_rounds"]

Progress = Callable[[str, int, int], None]

HEADLINE: Final = "dr"
"""The estimator to go by: nearest to the truth, and its intervals cover it, on every set that was measured."""

_FOLDS: Final = 5
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class PolicyEstimate:
    """One estimator's answer, with 95% intervals: without bounds where no labelled request speaks of the policy.

    Parameters
    ----------
    value
        The estimate.
    effective
        Effective sample size.
    normal
        From the spread between questions: the headline, ``low`` and ``high``. It covers as often as the bootstrap does
        (`beast_ml.benchmarks.learning`), and draws nothing.
    bootstrap
        By resampling questions.
    bernstein
        Exact at any size, wide.
    always_valid
        May be looked at after every request.
    """

    value: float
    effective: float
    normal: Interval
    bootstrap: Interval
    bernstein: Interval
    always_valid: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate for a report; a bound that there is not is None."""
        low, high = map(_finite, self.normal)
        names = {
            "bootstrap": self.bootstrap,
            "empirical_bernstein": self.bernstein,
            "always_valid": self.always_valid,
        }
        return {
            "value": _finite(self.value),
            "low": low,
            "high": high,
            "ess": self.effective,
            "intervals": {name: [_finite(end) for end in ends] for name, ends in names.items()},
        }


@dataclass(frozen=True)
class PolicyEvaluation:
    """What a log says of a target policy.

    Parameters
    ----------
    estimates
        Estimator -> its answer.
    logged, gain
        What the policy of the log got, and how much more the target would have got by `HEADLINE`.
    diagnostics, verdict
        Whether to believe it.
    weight
        (n,) importance weights, for the picture.
    powered
        The prediction-powered estimate; None where no label is missing.
    labels
        How labels come about.
    """

    estimates: dict[str, PolicyEstimate]
    logged: PolicyEstimate
    gain: PolicyEstimate
    diagnostics: Diagnostics
    verdict: PolicyVerdict
    weight: Floats
    powered: PredictionPowered | None
    labels: LabelModel

    def report(self, metric: str, usage: Usage) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "metric": metric,
            "estimators": {name: each.to_dict() for name, each in self.estimates.items()},
            "headline": {"estimator": HEADLINE, "interval": "normal, questions as units", "confidence": 0.95},
            "logging_policy": self.logged.to_dict(),
            "gain": self.gain.to_dict(),
            "verdict": self.verdict.to_dict(),
            "diagnostics": self.diagnostics.to_dict(),
            "labels": {
                "labelled": self.diagnostics.n_labelled,
                "missing": self.diagnostics.n_rounds - self.diagnostics.n_labelled,
                "depend_on_the_request": self.labels.depends,
                "least_probability": float(self.labels.probability.min()),
                "below_the_floor": self.labels.n_floored,
                **(
                    {"trust_in_predictions": self.powered.trust, "saved_by_predictions": self.powered.labels_saved}
                    if self.powered
                    else {}
                ),
            },
            "data": asdict(usage),
        }


def evaluate_policy(
    data: PolicyData,
    encoder: Encoder,
    seed: int = 0,
    n_resamples: int = _RESAMPLES,
    progress: Progress = lambda *_: None,
) -> PolicyEvaluation:
    """Return what a log says of a target policy.

    Parameters
    ----------
    encoder
        Of the prompts, for the outcome model.
    progress
        Called with (what, done, all).

    Raises
    ------
    NotEnoughDataError
        If there are too few labels to estimate anything.
    """
    rng = np.random.default_rng(seed)
    # Without its text, a request is like no other.
    texts = [f"\0{name}" if text is None else text for text, name in zip(data.prompts, data.request_ids, strict=True)]
    folds, question = query_fold(texts, _FOLDS, seed), question_numbers(texts)
    highest = 1.0 if data.metric == "quality" else float(np.nanmax(data.reward, initial=0.0))
    known = [i for i, text in enumerate(data.prompts) if text is not None]
    columns = np.zeros((len(texts), 0))
    if known:
        found = request_columns([texts[i] for i in known], encoder, rng, progress=progress)
        columns = np.zeros((len(texts), found.shape[1]))
        columns[known] = found
    progress("predicting outcomes", 0, 1)
    predicted = predict_outcomes(columns, data.reward, data.chosen, len(data.models), folds, 0.0, highest)
    progress("predicting outcomes", 1, 1)
    rounds = LoggedRounds(data.chosen, data.propensity, data.reward, predicted, question)
    labels = label_model(rounds.observed, columns, data.chosen, data.received_at, folds, rng)
    return evaluate_rounds(
        rounds, data.target, data.models, labels, rng, n_resamples, data.candidates, highest, data.usage.refused_share
    )


def evaluate_rounds(
    rounds: LoggedRounds,
    target: Floats,
    models: tuple[str, ...],
    labels: LabelModel,
    rng: np.random.Generator,
    n_resamples: int = _RESAMPLES,
    candidates: NDArray[np.bool_] | None = None,
    highest: float = 1.0,
    refused_share: float = 0.0,
) -> PolicyEvaluation:
    """Return what rounds whose outcomes are predicted already say of a target policy.

    Parameters
    ----------
    target
        (n, m) probabilities.
    candidates
        (n, m) which models could be chosen; None: all.
    highest
        The most that a reward can be; the least is 0.
    refused_share
        Share of the log's requests that could not be used.
    """
    speaking = TargetRounds.of(rounds, target, labels.probability)
    questions = Questions.of(rounds.question)
    found: dict[str, PerRound] = {str(name): each for name, each in estimate_rounds(speaking, highest).items()}
    powered = None if rounds.observed.all() else prediction_powered(speaking)
    if powered is not None:
        found["ppi"] = powered.per_round
    shown = np.where(rounds.observed, 1.0 / labels.probability, 0.0)
    as_logged = PerRound(speaking.of_chosen + shown * speaking.residual, np.ones(len(shown)), float(shown.sum()))
    gain = PerRound(found[HEADLINE].numerator - as_logged.numerator, as_logged.denominator, found[HEADLINE].effective)
    every = [*found.values(), as_logged, gain]
    intervals = bootstrap(every, questions, resample(rng, questions.n_units, n_resamples))
    # No smaller propensity than the smallest one logged is reckoned with, as no log tells of what it does not have.
    most = float(target.max() / rounds.propensity.min() / labels.probability.min()) * highest
    estimates = [
        PolicyEstimate(
            value=each.value,
            effective=each.effective,
            normal=normal(each, questions),
            bootstrap=interval,
            bernstein=bernstein(each, questions, -most, highest + most),
            always_valid=always_valid(each, questions),
        )
        # Sums of nothing, and mere predictions, vary little or not at all: that is no knowledge.
        if each.effective > 0
        else PolicyEstimate(each.value, 0.0, NOTHING, NOTHING, NOTHING, NOTHING)
        for each, interval in zip(every, intervals, strict=True)
    ]
    diagnostics = diagnose(rounds, speaking, target, models, candidates)
    n_candidates = float(len(models) if candidates is None else candidates.sum(axis=1).mean())
    return PolicyEvaluation(
        estimates=dict(zip(found, estimates, strict=False)),
        logged=estimates[-2],
        gain=estimates[-1],
        diagnostics=diagnostics,
        verdict=judge_log(diagnostics, n_candidates, refused_share),
        weight=speaking.weight,
        powered=powered,
        labels=labels,
    )


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
