"""How well kinds of request are told: in domain, and on a set whose like was never seen.

In domain, every distinct question of all sets is judged by a classifier that did not see it, in any wording: folds are
drawn by question stem. Leave-one-dataset-out trains on the other sets, without the questions they share with the set
left out, and counts only kinds that both have. The two figures differ, and the second is the one to expect of a new
deployment: a benchmark prints all its questions alike, so in domain a classifier may tell the benchmark (options
printed "A." or "A)", a lone question or a story) where it should tell the kind. Beside each set left out stands the
in-domain figure on the same questions and kinds, so that the difference is that of not having seen the set.

Leaving the surface features out of the classifier was tried, because they tell formats best. It costs macro-F1 in
domain (.85 to .81) for little on sets left out (.59 to .60 on average, accuracy .56 to .60), so they stay. Capping
every kind alike is what the left-out classifiers do already. What would help is labelled requests in more formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.labelled_questions import LabelledQuestions
from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.splits import normalise_question, query_fold
from beast_ml.predictors.contract import Rows
from beast_ml.predictors.kind_scores import confusion, f1_by_kind, macro_f1
from beast_ml.predictors.request_kind import MIN_KIND_QUERIES, claimed_kinds, fit_request_kind

__all__ = ["KindEvaluation", "KindScore", "LeftOut", "evaluate_request_kind"]

_N_FOLDS: Final = 5
_LEFT_OUT_FOLDS: Final = 3
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class KindScore:
    """What a classifier got right on some questions.

    Parameters
    ----------
    kinds
        The k kinds that count.
    table
        (k, k + 1) questions by true kind and by predicted kind; the last column is any kind that does not count.
    macro_f1, accuracy
        With 95% intervals by resampling questions.
    """

    kinds: tuple[str, ...]
    table: NDArray[np.int64]
    macro_f1: Estimate
    accuracy: Estimate

    @property
    def n_questions(self) -> int:
        """Number of questions."""
        return int(self.table.sum())

    @classmethod
    def of(
        cls, kinds: tuple[str, ...], truth: NDArray[np.str_], predicted: NDArray[np.str_], rng: np.random.Generator
    ) -> KindScore:
        """Score predictions; every true kind must be one of ``kinds``."""
        k = len(kinds)
        position = {name: j for j, name in enumerate(kinds)}
        rows = np.array([position[str(name)] for name in truth], dtype=np.intp)
        columns = np.array([position.get(str(name), k) for name in predicted], dtype=np.intp)
        table = confusion(rows, columns, k + 1)
        # Drawing questions with replacement is drawing cells of the table.
        drawn = rng.multinomial(len(rows), table.ravel() / len(rows), size=_RESAMPLES).reshape(-1, k + 1, k + 1)
        tables = [table, *drawn]
        f1 = np.array([macro_f1(each) for each in tables])
        right = np.array([np.trace(each[:k, :k]) / each.sum() for each in tables])
        return cls(kinds, table[:k], Estimate.of(f1), Estimate.of(right))

    def f1(self) -> dict[str, float]:
        """Return the F1 of each kind."""
        k = len(self.kinds)
        square = np.vstack([self.table, np.zeros((1, k + 1), dtype=np.int64)])
        return dict(zip(self.kinds, f1_by_kind(square)[:k].tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the score for a report."""
        return {
            "questions": self.n_questions,
            "macro_f1": self.macro_f1.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "kinds": {
                name: {"questions": int(n), "f1": value}
                for (name, value), n in zip(self.f1().items(), self.table.sum(axis=1), strict=True)
            },
            "confusion": {"kinds": [*self.kinds, "any other"], "counts": self.table.tolist()},
        }


@dataclass(frozen=True)
class LeftOut:
    """A set that was not learnt from.

    Parameters
    ----------
    name
        The set.
    unseen
        Scored by a classifier that saw the other sets alone.
    in_domain
        The same questions and kinds, by the cross-validated classifier of all sets.
    kinds_not_scored
        Kinds of the set that no other set has enough of.
    """

    name: str
    unseen: KindScore
    in_domain: KindScore
    kinds_not_scored: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return {
            "unseen": self.unseen.to_dict(),
            "in_domain": self.in_domain.to_dict(),
            "kinds_not_scored": list(self.kinds_not_scored),
        }


@dataclass(frozen=True)
class KindEvaluation:
    """Everything that is published of the classifier of kinds.

    Parameters
    ----------
    in_domain
        Over all distinct questions.
    calibration_error, family
        Of the in-domain classifier: expected calibration error, and which family was chosen.
    left_out
        One entry a set that shares a kind with the others.
    not_left_out
        Sets that share no kind with the others, so that nothing can be said of them.
    without_kind
        Questions of each set whose task has no kind.
    """

    in_domain: KindScore
    calibration_error: float
    family: str
    left_out: tuple[LeftOut, ...]
    not_left_out: tuple[str, ...]
    without_kind: dict[str, int]

    @property
    def mean_left_out(self) -> tuple[float, float] | None:
        """Mean macro-F1 over the sets left out: unseen, and in domain on the same questions."""
        if not self.left_out:
            return None
        pairs = [(each.unseen.macro_f1.value, each.in_domain.macro_f1.value) for each in self.left_out]
        unseen, in_domain = np.array(pairs, dtype=float).mean(axis=0).tolist()
        return unseen, in_domain

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain values."""
        mean = self.mean_left_out
        return {
            "in_domain": self.in_domain.to_dict(),
            "calibration_error": self.calibration_error,
            "family": self.family,
            "leave_one_dataset_out": {each.name: each.to_dict() for each in self.left_out},
            "mean_macro_f1_left_out": None if mean is None else {"unseen": mean[0], "in_domain": mean[1]},
            "sets_that_share_no_kind": list(self.not_left_out),
            "questions_without_kind": self.without_kind,
        }


def evaluate_request_kind(
    questions: LabelledQuestions,
    encoder: Encoder,
    rng: np.random.Generator,
    *,
    seed: int = 0,
    max_per_kind: int = 4000,
    say: Callable[[str], None] = lambda _: None,
) -> KindEvaluation:
    """Return how well kinds are told, in domain and leave-one-dataset-out.

    Parameters
    ----------
    questions
        Of at least two kinds with 30 questions each.
    encoder
        Of the features.
    rng
        Of training and of the intervals.
    seed
        Of the folds.
    max_per_kind
        Most questions of a kind that a classifier learns from; a quarter of it where a set is left out.
    say
        Called with what is being done.

    Raises
    ------
    NotEnoughDataError
        If fewer than two kinds have enough questions.
    """
    distinct = np.flatnonzero(questions.first)
    spec = FeatureSpec.learn(encoder, [questions.prompts[i] for i in distinct])
    rows = FeatureBuilder(spec, encoder).matrix(questions.prompts)
    folds = query_fold([str(group) for group in questions.groups], _N_FOLDS, seed)
    say(f"kinds of {len(distinct)} questions, in domain")
    fitted = fit_request_kind(
        rows[distinct], questions.kinds[distinct], folds[distinct], rng, max_per_kind=max_per_kind
    )
    if fitted is None:
        raise NotEnoughDataError(
            f"fewer than two kinds have {MIN_KIND_QUERIES} questions: pull more sets, or name their tasks in `kinds`"
        )
    names = np.array(fitted.predictor.kinds)
    claimed = np.isin(questions.kinds[distinct], names)
    guessed = names[fitted.out_of_fold.argmax(axis=1)]
    in_domain = KindScore.of(fitted.predictor.kinds, questions.kinds[distinct][claimed], guessed[claimed], rng)
    texts = [normalise_question(prompt) for prompt in questions.prompts]
    of_text = dict(zip((texts[i] for i in distinct), guessed.tolist(), strict=True))
    everywhere = np.array([of_text[text] for text in texts])
    left_out, alone = [], []
    for name in np.unique(questions.sets).tolist():
        say(f"kinds of {name}, learnt from the other sets")
        score = _leave_out(name, questions, rows, everywhere, rng, seed, max_per_kind // 4)
        if score is None:
            alone.append(name)
        else:
            left_out.append(score)
    return KindEvaluation(
        in_domain,
        fitted.report["ece_out_of_fold"],
        "network" if fitted.report["is_network"] else "linear",
        tuple(left_out),
        tuple(alone),
        dict(questions.n_without_kind),
    )


def _leave_out(
    name: str,
    questions: LabelledQuestions,
    rows: Rows,
    in_domain: NDArray[np.str_],
    rng: np.random.Generator,
    seed: int,
    max_per_kind: int,
) -> LeftOut | None:
    """Score a set by a classifier of the others, or None where they share no kind with it."""
    here = questions.sets == name
    others = np.flatnonzero(~here & ~np.isin(questions.groups, questions.groups[here]))
    others = others[np.unique(questions.groups[others], return_index=True)[1]]
    shared = set(claimed_kinds(questions.kinds[here])) & set(claimed_kinds(questions.kinds[others]))
    folds = query_fold([str(group) for group in questions.groups[others]], _LEFT_OUT_FOLDS, seed)
    fitted = fit_request_kind(rows[others], questions.kinds[others], folds, rng, max_per_kind=max_per_kind)
    if not shared or fitted is None:
        return None
    kinds = tuple(sorted(shared))
    scored = np.flatnonzero(here & np.isin(questions.kinds, kinds))
    truth = questions.kinds[scored]
    return LeftOut(
        name,
        KindScore.of(kinds, truth, np.array(fitted.predictor.names(rows[scored])), rng),
        KindScore.of(kinds, truth, in_domain[scored], rng),
        tuple(sorted(set(questions.kinds[here].tolist()) - shared)),
    )
