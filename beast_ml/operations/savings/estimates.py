"""What each switch would save and what it would do to quality: doubly robust, paired with what the log's policy did.

The figures are those of the log's own traffic, had the switch been on: its requests are given, and what is uncertain is
what the choices that were drawn do not show. So the units are requests, not questions: the choices of two requests that
ask the same were drawn apart, and resampling requests overstates their spread, if anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.diagnostics import check_propensities, diagnose
from beast_ml.evaluation.off_policy.estimators import PerRound, TargetRounds
from beast_ml.evaluation.off_policy.intervals import Interval, Questions, bootstrap, resample, simultaneous
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds
from beast_ml.evaluation.off_policy.verdict import PolicyVerdict, judge_log
from beast_ml.operations.savings.log import SavingsLog
from beast_ml.operations.savings.switches import Redecided, Switch
from beast_ml.policy.operating_point import QUALITY_MARGIN

__all__ = ["SwitchEstimate", "estimate_switches"]

_RESAMPLES: Final = 1000
_NO_CHANGE: Final = "nothing changes"


@dataclass(frozen=True)
class SwitchEstimate:
    """What one switch comes to.

    Parameters
    ----------
    saving, saving_low, saving_high
        Share of the cost of the log's policy, with 95% interval, at most 1; negative where it costs more.
    quality, quality_low, quality_high
        Quality minus that of the log's policy, with 95% interval, within the -1..1 that quality allows.
    changed
        Share of the requests that another model, or the cache, would answer.
    effective
        Effective sample size behind it.
    verdict
        Whether the log can tell.
    """

    saving: float
    saving_low: float
    saving_high: float
    quality: float
    quality_low: float
    quality_high: float
    changed: float
    effective: float
    verdict: PolicyVerdict

    @property
    def trusted(self) -> bool:
        """Whether the log can tell."""
        return self.verdict.answer == "trust"

    @property
    def changes_nothing(self) -> bool:
        """Whether every request would be answered as it was."""
        return self.changed == 0.0

    @property
    def keeps_quality(self) -> bool:
        """Whether it loses no more quality than the project's margin, at the worst end of the interval."""
        return self.quality_low >= -QUALITY_MARGIN

    @property
    def recommended(self) -> bool:
        """Whether the log can tell, quality is kept, and something is saved at the worst end of the interval."""
        return self.trusted and self.keeps_quality and self.saving_low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return {**asdict(self), "verdict": self.verdict.to_dict(), "recommended": self.recommended}


def estimate_switches(
    log: SavingsLog,
    switches: Sequence[Switch],
    part: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    chosen_among: bool,
    n_resamples: int = _RESAMPLES,
) -> list[SwitchEstimate]:
    """Return what the switches come to on a part of the log.

    Parameters
    ----------
    part
        (n,) the requests to go by.
    chosen_among
        Whether intervals are to hold for all switches that the log can tell of at once, so that one may choose among
        them; else each is as for the only one looked at.
    """
    quality, cost = _base(log.quality, log.labelled), _base(log.cost, log.paid)
    questions = Questions.of(np.arange(int(part.sum())))
    rows: list[PerRound] = []
    ones = np.ones(int(part.sum()))
    for each in switches:
        made = each.redecided
        gained = _new(log.quality, log.labelled, made, quality, again=quality) - quality
        saved = cost - _new(log.cost, log.paid, made, cost, again=np.zeros(len(cost)))
        rows.append(PerRound(gained[part], ones, 0.0))
        rows.append(PerRound(saved[part], cost[part], 0.0))
    judged = [_judged(log, each.redecided, part) for each in switches]
    told = np.repeat([verdict.answer == "trust" for verdict, _ in judged], 2)
    resamples = resample(rng, questions.n_units, n_resamples)
    if chosen_among:
        intervals: list[Interval] = simultaneous(rows, questions, resamples, told)
    else:
        intervals = bootstrap(rows, questions, resamples)
    found = []
    for k, (each, (verdict, effective)) in enumerate(zip(switches, judged, strict=True)):
        made = each.redecided
        changed = ((made.direct != log.chosen) | (made.source >= 0))[part]
        gain, saving = rows[2 * k], rows[2 * k + 1]
        found.append(
            SwitchEstimate(
                *_possible((saving.value, *intervals[2 * k + 1]), -np.inf, 1.0),
                *_possible((gain.value, *intervals[2 * k]), -1.0, 1.0),
                changed=float(changed.mean()),
                effective=effective,
                verdict=verdict,
            )
        )
    return found


def _possible(figures: tuple[float, float, float], least: float, most: float) -> tuple[float, float, float]:
    """Return an estimate and its interval without what cannot be: heavy weights reach beyond it, the truth does not."""
    value, low, high = np.clip(figures, least, most).tolist()
    return value, low, high


def _shown(rounds: LoggedRounds, known: Floats) -> Floats:
    """Return (n,) weight of each round's outcome for those whose outcome is not known."""
    return np.where(rounds.observed, 1.0 / known, 0.0)


def _residual(rounds: LoggedRounds) -> Floats:
    return np.where(rounds.observed, rounds.reward - rounds.predicted_of_chosen, 0.0)


def _base(rounds: LoggedRounds, known: Floats) -> Floats:
    """Return (n,) values whose mean is what the log's policy got."""
    return np.asarray(rounds.predicted_of_chosen + _shown(rounds, known) * _residual(rounds))


def _new(rounds: LoggedRounds, known: Floats, made: Redecided, base: Floats, again: Floats) -> Floats:
    """Return (n,) values whose mean is what the switch would get; ``again`` is what an answer given again is worth."""
    direct = rounds.predicted[np.arange(len(base)), made.direct]
    # Where nothing changes, what is known counts as it is: such rounds cancel out.
    corrected = direct + made.weight * _shown(rounds, known) * _residual(rounds)
    return np.where(made.source >= 0, again[made.source], corrected)


def _apart(rounds: LoggedRounds) -> LoggedRounds:
    """Return the rounds as units of their own."""
    return replace(rounds, question=np.arange(len(rounds.chosen)))


def _judged(log: SavingsLog, made: Redecided, part: NDArray[np.bool_]) -> tuple[PolicyVerdict, float]:
    """Return whether the log can tell, by the rounds that a switch changes anything about, and how many speak of it."""
    matters = part & ((made.direct != log.chosen) | (made.weight != 1.0) | (made.source >= 0))
    if not matters.any():
        return PolicyVerdict("cannot be answered by this log", _NO_CHANGE, (_NO_CHANGE,), None), 0.0
    rounds = _apart(log.quality.rows(matters))
    weight = made.weight[matters]
    speaking = TargetRounds(
        weight=weight * _shown(rounds, log.labelled[matters]),
        residual=_residual(rounds),
        of_chosen=rounds.predicted_of_chosen,
        expected=rounds.predicted[np.arange(len(weight)), made.direct[matters]],
        question=rounds.question,
        policy_weight=weight,
    )
    target = np.zeros(rounds.predicted.shape)
    target[np.arange(len(weight)), made.direct[matters]] = 1.0
    found = diagnose(rounds, speaking, target, log.models, log.candidates[matters])
    # Rounds are picked by what was chosen, so propensities are to be checked on all of them.
    found = replace(
        found, propensities=check_propensities(_apart(log.quality.rows(part)), log.models, log.candidates[part])
    )
    return judge_log(found, float(log.candidates[part].sum(axis=1).mean())), found.effective
