"""What to do: ship a variant, keep the control, or keep running; and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from beast_ml.experiments.analysis import Comparison, ExperimentAnalysis

__all__ = ["Decision", "ExperimentVerdict", "reach_verdict"]

Decision = Literal["ship", "keep control", "keep running"]
"""What an analysis advises."""

_NONE_HARMED: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class ExperimentVerdict:
    """The answer of an experiment.

    Parameters
    ----------
    decision
        What to do.
    variant
        Which one to ship; None otherwise.
    trusted
        Whether the experiment ran as it should have: where not, its figures answer nothing.
    reasons
        Why, in sentences.
    """

    decision: Decision
    variant: str | None
    trusted: bool
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The decision and its first reason."""
        what = f"Ship {self.variant!r}" if self.decision == "ship" else self.decision.capitalize()
        return f"{what}: {self.reasons[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "decision": self.decision,
            "variant": self.variant,
            "trusted": self.trusted,
            "sentence": self.sentence,
            "reasons": list(self.reasons),
        }


def reach_verdict(
    analysis: ExperimentAnalysis,
    *,
    lower_is_better: bool = False,
    worth: float = 0.0,
    harmed: Mapping[str, str] = _NONE_HARMED,
) -> ExperimentVerdict:
    """Return the verdict on an experiment from its main metric.

    A variant is shipped when it is found better, on a sound experiment, and hurts no guardrail. The control is kept
    when every variant is found worse, or none can be better by what would be worth the change. Else it goes on: that
    costs nothing in validity.

    Parameters
    ----------
    analysis
        Of the main metric.
    lower_is_better
        Whether less of it is better, as of a cost.
    worth
        The least improvement that is worth a change, in units of the metric.
    harmed
        Variants that break a guardrail, and what was found of each.
    """
    sign = -1.0 if lower_is_better else 1.0
    if analysis.mismatch is not None and analysis.mismatch.found:
        return ExperimentVerdict("keep control", None, False, (_mismatch(analysis),))
    warnings = _warnings(analysis)
    better = [each for each in analysis.comparisons if each.found_at is not None and _gain(each, sign) > 0]
    allowed = [each for each in better if each.name not in harmed]
    if allowed:
        best = max(allowed, key=lambda each: _gain(each, sign))
        others = [f"{each.name!r} is better too, by less" for each in allowed if each is not best]
        why = f"{analysis.metric} {_effect(best)} against the control, found on {best.found_at:%Y-%m-%d %H:%M} UTC"
        fallen = [_fallen_back(best)] if _contains_zero(best) else []
        return ExperimentVerdict("ship", best.name, True, (why, *others, *fallen, *_harm(harmed), *warnings))
    worse = [each for each in analysis.comparisons if each.found_at is not None and each not in better]
    hopeless = [each for each in analysis.comparisons if _best_case(each, sign) <= worth]
    out = {each.name for each in (*worse, *hopeless)} | set(harmed)
    if all(each.name in out for each in analysis.comparisons):
        reasons = [f"{each.name!r}: {analysis.metric} {_effect(each)} against the control" for each in worse]
        reasons += [
            f"{each.name!r} cannot be better by more than {worth:g} ({_effect(each)})"
            for each in hopeless
            if each not in worse and each.name not in harmed
        ]
        return ExperimentVerdict("keep control", None, True, (*reasons, *_harm(harmed), *warnings))
    leading = max(
        (each for each in analysis.comparisons if each.name not in out),
        key=lambda each: -math.inf if each.effect is None else sign * each.effect,
    )
    return ExperimentVerdict("keep running", None, True, (_undecided(leading, analysis), *_harm(harmed), *warnings))


def _gain(each: Comparison, sign: float) -> float:
    return 0.0 if each.effect is None else sign * each.effect


def _best_case(each: Comparison, sign: float) -> float:
    bound = each.high if sign > 0 else each.low
    return math.inf if bound is None else sign * bound


def _effect(each: Comparison) -> str:
    if each.effect is None or each.low is None or each.high is None:
        return "unknown"
    return f"{each.effect:+.4g} [{each.low:+.4g}, {each.high:+.4g}]"


def _contains_zero(each: Comparison) -> bool:
    return each.low is not None and each.high is not None and each.low <= 0.0 <= each.high


def _fallen_back(each: Comparison) -> str:
    return (
        f"since {each.name!r} was found, its interval has come to contain 0 again: the finding stands, the effect is "
        "likely small"
    )


def _harm(harmed: Mapping[str, str]) -> list[str]:
    return [f"{name!r} breaks a guardrail: {why}" for name, why in harmed.items()]


def _undecided(leading: Comparison, analysis: ExperimentAnalysis) -> str:
    if leading.low is None:
        return (
            f"too few units yet to say anything of {leading.name!r} ({leading.n_units}, control "
            f"{analysis.n_control_units}), or too few events, or a few huge values rule its mean"
        )
    return f"{leading.name!r} may be better or worse: {analysis.metric} {_effect(leading)} against the control"


def _mismatch(analysis: ExperimentAnalysis) -> str:
    assert analysis.mismatch is not None  # noqa: S101  the caller looked
    names = ("control", *(each.name for each in analysis.comparisons))
    parts = ", ".join(
        f"{name} {seen:.1%} of {meant:.1%}"
        for name, seen, meant in zip(names, analysis.mismatch.observed, analysis.mismatch.expected, strict=True)
    )
    return (
        f"the units are not divided as meant ({parts}; p {analysis.mismatch.p_value:.1g}), so that the groups differ "
        "in more than the variant: find what loses units, and start anew"
    )


def _warnings(analysis: ExperimentAnalysis) -> list[str]:
    said = []
    for each in analysis.comparisons:
        if each.n_units == 0:
            said.append(f"nothing usable was observed of {each.name!r}")
        if each.novelty.found:
            said.append(
                f"the effect of {each.name!r} changes with time: look at its parts before you count on the mean"
            )
    misled = [each.name for each in analysis.comparisons if each.peeking.misleads]
    if misled:
        said.append(
            f"an ordinary test, looked at as often, would have called different at some look: {', '.join(misled)}; "
            "allowing for the looking, they are not"
        )
    return said
