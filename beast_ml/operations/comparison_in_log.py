"""Models compared by a log in which one of them answered each request: what each would have got on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError, UnknownModelError
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.comparison.contract import ALL, COMPARED, Compared, ModelComparison
from beast_ml.evaluation.comparison.failure_rates import failure_rate, rates_apart
from beast_ml.evaluation.comparison.outcomes import check_models, kinds_there
from beast_ml.evaluation.off_policy.diagnostics import diagnose
from beast_ml.evaluation.off_policy.estimators import PerRound, TargetRounds, estimate_rounds
from beast_ml.evaluation.off_policy.evaluate import HEADLINE
from beast_ml.evaluation.off_policy.intervals import Questions, normal
from beast_ml.evaluation.off_policy.outcome_model import predict_outcomes, request_columns
from beast_ml.evaluation.off_policy.rounds import LoggedRounds
from beast_ml.evaluation.off_policy.verdict import PolicyVerdict, judge_log
from beast_ml.features.encoder import Encoder
from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.splits import query_fold, question_numbers
from beast_ml.operations.log_rounds import logged_choices
from beast_ml.predictors.contract import Floats

__all__ = ["compare_in_log"]

Progress = Callable[[str, int, int], None]

_FOLDS: Final = 5
_SHARES: Final = ("quality", "errors")
"""Measures that lie between 0 and 1; the others only are not negative."""


def compare_in_log(
    logged: LoggedOutcomes,
    models: Sequence[str],
    encoder: Encoder,
    *,
    kinds: KindTable = KIND_TABLE,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> ModelComparison:
    """Return what each model would have got had it been asked every request of a log; doubly robust.

    A request whose chosen model failed tells of its errors, and nothing of its quality, cost or latency. By kind no
    interval is given from fewer requests than `LEAST_PAIRS`.

    Parameters
    ----------
    logged
        With its costs.
    models
        The first is the reference.
    encoder
        Of the prompts.
    kinds
        Which task is of which kind.
    progress
        Called with (what, done, all).

    Raises
    ------
    InputError
        If fewer than two models are named, or one twice.
    UnknownModelError
        If the log never had one of them as a candidate.
    NotEnoughDataError
        If nothing can be estimated.
    """
    check_models(models)
    known = logged.matrix.models
    missing = sorted(set(models) - set(known))
    if missing:
        raise UnknownModelError(f"the log never had {missing[0]!r} as a candidate; it had {', '.join(known)}")
    rng = np.random.default_rng(seed)
    prompts = logged.matrix.prompts
    folds, question = query_fold(prompts, _FOLDS, seed), question_numbers(prompts)
    columns = request_columns(prompts, encoder, rng, progress=progress)
    choices = logged_choices(logged, columns, folds, rng)
    labels = kinds.labels(logged.matrix.tasks)
    at = [known.index(name) for name in models]
    rows: list[Compared] = []
    notes: list[str] = []
    verdicts: dict[str, PolicyVerdict] = {}
    if choices.n_estimated:
        notes.append(f"{choices.n_estimated} requests have no propensity: it is estimated from what was chosen")
    for i, (measure, reward) in enumerate(_rewards(logged).items()):
        progress("predicting outcomes", i, len(COMPARED))
        seen = np.isfinite(reward)
        if not seen.any():
            notes.append(f"{measure} is not in the log")
            continue
        highest = 1.0 if measure in _SHARES else float(np.nanmax(reward))
        try:
            predicted = predict_outcomes(columns, reward, logged.chosen, len(known), folds, 0.0, highest)
        except NotEnoughDataError as error:
            notes.append(f"{measure}: {error}")
            continue
        rounds = LoggedRounds(logged.chosen, choices.propensity, reward, predicted, question, choices.probabilities)
        for kind in kinds_there(labels):
            part = np.ones(len(reward), dtype=bool) if kind == ALL else labels == kind
            if not seen[part].any():
                continue
            rows += _compared(measure, kind, models, at, rounds.rows(part))
        if measure == "quality":
            verdicts = {name: _verdict(rounds, j, known, logged) for name, j in zip(models, at, strict=True)}
    progress("predicting outcomes", len(COMPARED), len(COMPARED))
    if not rows:
        raise NotEnoughDataError(f"the log cannot compare them: {'; '.join(notes)}")
    trusted = {name: verdict.sentence for name, verdict in verdicts.items()}
    untold = tuple(name for name, verdict in verdicts.items() if verdict.answer == "cannot be answered by this log")
    return ModelComparison("log", tuple(models), len(prompts), tuple(rows), tuple(notes), trusted, untold)


def _rewards(logged: LoggedOutcomes) -> dict[str, Floats]:
    """Return (n,) what is known of each chosen model's answer, by measure; NaN where it is not."""
    cells = (np.arange(len(logged.chosen)), logged.chosen)
    own = logged.served == logged.chosen
    rewards = {name: np.where(own, getattr(logged.matrix, name)[cells], np.nan) for name in COMPARED[:-1]}
    return rewards | {"errors": logged.failures()[cells]}


def _compared(
    measure: str, kind: str, models: Sequence[str], at: Sequence[int], rounds: LoggedRounds
) -> list[Compared]:
    questions, n = Questions.of(rounds.question), len(rounds.chosen)
    found = [_value(rounds, np.full(n, j, dtype=np.intp)) for j in at]
    means = [_possible(_estimate(each, questions), measure) for each in found]
    if measure == "errors":
        means = [failure_rate(mean, each.effective) for mean, each in zip(means, found, strict=True)]
    rows = [Compared(measure, kind, models[0], int(found[0].effective), means[0], None)]
    for model, each, mean in zip(models[1:], found[1:], means[1:], strict=True):
        effective = min(each.effective, found[0].effective)
        gap = PerRound(each.numerator - found[0].numerator, each.denominator, effective)
        difference = _between(_estimate(gap, questions), mean, means[0])
        if measure == "errors":
            difference = rates_apart(difference, mean, means[0])
        rows.append(Compared(measure, kind, model, int(each.effective), mean, difference))
    return rows


def _possible(mean: Estimate, measure: str) -> Estimate:
    """Return a mean within what it can be: a doubly robust one may come out below zero, or a share above one."""
    return mean.within(0.0, 1.0 if measure in _SHARES else float("inf"))


def _between(gap: Estimate, mean: Estimate, reference: Estimate) -> Estimate:
    """Return the difference that two means show; where one was cut, the interval grows to hold it."""
    if gap.low is None or gap.high is None or mean.value is None or reference.value is None:
        return gap
    shown = mean.value - reference.value
    return Estimate(shown, min(gap.low, shown), max(gap.high, shown))


def _value(rounds: LoggedRounds, decisions: NDArray[np.intp]) -> PerRound:
    return estimate_rounds(TargetRounds.of(rounds, decisions), 1.0)[HEADLINE]


def _estimate(each: PerRound, questions: Questions) -> Estimate:
    low, high = normal(each, questions)
    if not (np.isfinite(low) and np.isfinite(high)):
        return Estimate(each.value)
    return Estimate(each.value, float(low), float(high))


def _verdict(rounds: LoggedRounds, j: int, known: tuple[str, ...], logged: LoggedOutcomes) -> PolicyVerdict:
    """Return whether the log can tell what always asking one model would get, and why not."""
    target = np.zeros(rounds.predicted.shape)
    target[:, j] = 1.0
    found = diagnose(rounds, TargetRounds.of(rounds, target), target, known, logged.candidates)
    return judge_log(found, float(logged.candidates.sum(axis=1).mean()))
