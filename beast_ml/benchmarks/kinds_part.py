"""The part on request kinds: how well they are told in domain, and on sets whose like was never seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.labelled_questions import LabelledQuestions, read_tasks
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.request_kind import KindScore, evaluate_request_kind
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_kinds"]

_PART: Final = "kinds"
_MAX_PER_KIND: Final = 4000
_QUICK_PER_KIND: Final = 500


def measure_kinds(context: PartContext) -> PartResult:
    """Return macro-F1 and accuracy in domain, and for each set left out beside the in-domain figure on its questions.

    The router ``unseen`` did not learn from the set, ``beast`` did, from other questions of it.
    """
    questions = LabelledQuestions.of(read_tasks(context.data))
    evaluation = evaluate_request_kind(
        questions,
        get_encoder(context.encoder),
        np.random.default_rng(0),
        max_per_kind=_QUICK_PER_KIND if context.quick else _MAX_PER_KIND,
        say=context.say,
    )
    figures = [*_scores("all sets", "beast", evaluation.in_domain)]
    figures += [Figure(_PART, f"all sets, {kind}", "beast", "f1", f1) for kind, f1 in evaluation.in_domain.f1().items()]
    figures.append(Figure(_PART, "all sets", "beast", "calibration_error", evaluation.calibration_error))
    if evaluation.mean_left_out is not None:
        means = dict(zip(("unseen", "beast"), evaluation.mean_left_out, strict=True))
        figures += [Figure(_PART, "mean over sets left out", name, "macro_f1", value) for name, value in means.items()]
    for one in evaluation.left_out:
        figures += [*_scores(one.name, "unseen", one.unseen), *_scores(one.name, "beast", one.in_domain)]
    return PartResult(_PART, tuple(figures), _notes(evaluation.not_left_out, evaluation.without_kind))


def _scores(dataset: str, router: str, score: KindScore) -> list[Figure]:
    found = {"macro_f1": score.macro_f1, "accuracy": score.accuracy}
    return [Figure(_PART, dataset, router, name, one.value, None, one.low, one.high) for name, one in found.items()]


def _notes(alone: tuple[str, ...], without_kind: Mapping[str, int]) -> tuple[str, ...]:
    notes = [f"{name} shares no kind with the other sets: nothing is said of it unseen" for name in alone]
    return (*notes, *(f"{n} questions of {name} have a task without a kind" for name, n in without_kind.items()))
