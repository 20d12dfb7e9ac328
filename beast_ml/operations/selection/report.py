"""The selection report: how often the choice was near the best, what context buys, what fallbacks cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from beast_ml.features.encoder import Encoder
from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.operations.savings.log import ended_as, read_savings_log
from beast_ml.operations.selection.accuracy import GroupAccuracy, accuracy_by_group, near_best, regret_of_log
from beast_ml.operations.selection.context_value import ContextValue, value_of_context, worth_on_log
from beast_ml.operations.selection.fallbacks import FallbackCount, count_fallbacks

__all__ = ["BY_PREDICTION", "SelectionReport", "context_fields", "selection_report"]

Progress = Callable[[str, int, int], None]
Attempts = Mapping[str, Sequence[Mapping[str, Any]]]


BY_PREDICTION: Final = "Which model is best is a prediction, and its error is not in these intervals."
"""What a reader must know of accuracy and regret where a log alone tells of them."""


@dataclass(frozen=True)
class SelectionReport:
    """What a log says of its choices, or known outcomes of a router's.

    Parameters
    ----------
    epsilon
        How far from the best is near; 0..1 of quality.
    accuracy
        Of all requests, then by tenant, kind and context value; its intervals are of the draw of questions alone.
    context
        What each field buys.
    fallbacks
        By chosen model and kind of error.
    n_requests
        Of the log.
    notes
        What there is to know.
    best
        How the best model is known.
    """

    epsilon: float
    accuracy: tuple[GroupAccuracy, ...]
    context: tuple[ContextValue, ...]
    fallbacks: tuple[FallbackCount, ...]
    n_requests: int
    notes: tuple[str, ...]
    best: Literal["is predicted best", "is best"] = "is predicted best"

    @property
    def is_predicted(self) -> bool:
        """Whether nobody knows which model is best, so that predictions tell."""
        return self.best == "is predicted best"

    def sentence(self) -> str:
        """Return the verdict for people."""
        found = self.accuracy[0]
        text = (
            f"{found.accuracy:.1%} [{found.accuracy_low:.1%}, {found.accuracy_high:.1%}] of the choices were within "
            f"{100 * self.epsilon:g} points of the model that {self.best}; {_lost(found)}."
        )
        if self.is_predicted:
            text += f" {BY_PREDICTION}"
        helps = [each for each in self.context if each.gain_low > 0]
        if helps:
            best = max(helps, key=lambda each: each.gain)
            text += (
                f" Reading {best.field} would add {100 * best.gain:.2f} points "
                f"[{100 * best.gain_low:.2f}, {100 * best.gain_high:.2f}] to routing by the text, at equal cost."
            )
        elif self.context:
            text += " No context field adds anything for certain to routing by the text, at equal cost."
        failed = sum(each.n_failed for each in self.fallbacks)
        if failed:
            rescued = sum(each.n_rescued for each in self.fallbacks)
            text += f" The chosen model failed {failed:,} times; a fallback answered {rescued:,} of those."
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "sentence": self.sentence(),
            "epsilon": self.epsilon,
            "best": self.best,
            "requests": self.n_requests,
            "accuracy": [each.to_dict() for each in self.accuracy],
            "context": [each.to_dict() for each in self.context],
            "fallbacks": [each.to_dict() for each in self.fallbacks],
            "notes": list(self.notes),
        }


def _lost(found: GroupAccuracy) -> str:
    """Return what was lost to the best model, in words."""
    if not found.regret_told:
        return "how much quality was lost to it the log cannot tell"
    value, low, high = (100 * x for x in (found.regret, found.regret_low, found.regret_high))
    if low >= 0.0:
        return f"{value:.2f} points of quality [{low:.2f}, {high:.2f}] were lost to it on average"
    if high < 0.0:
        return f"what was chosen did {-value:.2f} points of quality [{-high:.2f}, {-low:.2f}] better on average"
    difference = f"{value:+.2f} points [{low:+.2f}, {high:+.2f}]"
    return f"no quality was lost to it for certain (its quality less that of the choices: {difference})"


def selection_report(
    logged: LoggedOutcomes,
    encoder: Encoder,
    attempts: Attempts,
    *,
    epsilon: float = 0.02,
    kinds: KindTable = KIND_TABLE,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SelectionReport:
    """Return what a log says of its choices.

    Parameters
    ----------
    logged
        With its costs.
    encoder
        Of the prompts.
    attempts
        Request id -> its attempts, for those whose chosen model failed.
    epsilon
        How far from the best is near.
    kinds
        Which task is of which kind.
    progress
        Called with (what, done, all).

    Raises
    ------
    InputError
        If epsilon is not in 0..1.
    NotEnoughDataError
        If the log is too small to say anything; see `read_savings_log`.
    """
    near_best(np.zeros(1), epsilon)
    log = read_savings_log(logged, encoder, life_s=0.0, seed=seed, progress=progress)
    rng = np.random.default_rng([seed, 5])
    gap, regret = regret_of_log(log.quality, log.labelled, log.candidates)
    fields = context_fields(logged)
    groups: dict[str, Sequence[str]] = {
        "tenant": logged.tenant,
        "kind": tuple(map(str, kinds.labels(logged.matrix.tasks))),
        **fields,
    }
    values = np.full(log.candidates.shape, np.nan)
    everyone = np.arange(len(log.chosen))
    values[everyone, log.chosen] = log.quality.reward
    progress("reading context", 0, 1)
    context = value_of_context(
        log.columns,
        fields,
        values,
        log.cost.predicted,
        float(log.cost.predicted_of_chosen.mean()),
        worth_on_log(log.quality, log.labelled),
        log.quality.question,
        log.folds,
        rng,
    )
    progress("reading context", 1, 1)
    quality, cost, _ = ended_as(logged)
    return SelectionReport(
        epsilon,
        tuple(accuracy_by_group(near_best(gap, epsilon), regret, log.quality.question, groups, rng)),
        tuple(context),
        tuple(count_fallbacks(logged, attempts, quality, cost, log.quality.predicted, log.cost.predicted)),
        len(log.chosen),
        log.notes,
    )


def context_fields(logged: LoggedOutcomes) -> dict[str, tuple[str, ...]]:
    """Return the value of every context field of each request, "" where it has none."""
    names = sorted({key for pairs in logged.context for key in pairs} - {"app"})
    found = {name: tuple(str(pairs.get(name, "")) for pairs in logged.context) for name in names}
    if any(logged.matrix.apps):
        found["app"] = tuple(map(str, logged.matrix.apps))
    return {name: values for name, values in found.items() if len(set(values)) > 1}
