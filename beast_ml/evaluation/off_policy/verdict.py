"""Whether to believe an off-policy estimate: one of three answers, one sentence why, and what would help."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Final, Literal

from beast_ml.evaluation.off_policy.diagnostics import Diagnostics, ModelOverlap

__all__ = ["Answer", "PolicyVerdict", "judge_log"]

Answer = Literal["trust", "widen exploration", "cannot be answered by this log"]
"""What to do with an estimate."""

ENOUGH: Final = 100.0
"""Effective questions from which 95% intervals of the doubly robust estimate cover about 95%."""

TOO_FEW: Final = 25.0
_WANTED: Final = 2 * ENOUGH
_UNREACHED: Final = 0.10
_UNREACHED_A_LITTLE: Final = 0.02
_UNREACHED_AT_ALL: Final = 0.01
_LARGEST_SHARE: Final = 0.10
_BEHIND_SPREAD: Final = 60.0
"""Rounds that the spread must rest on: from 12 doubly robust intervals covered about 90%, from 52 on one set 92%."""

_P_VALUE: Final = 0.001
_UNUSABLE: Final = 0.05


@dataclass(frozen=True)
class PolicyVerdict:
    """The answer.

    Parameters
    ----------
    answer
        ``trust``: the interval of ``dr`` means what it says. ``widen exploration``: the log speaks of the target, but
        too few rounds do. ``cannot be answered by this log``: it hardly does, or its propensities are wrong.
    sentence
        Why, for people.
    reasons
        Everything that speaks against it, the gravest first; empty for ``trust``.
    exploration
        What to log so that the next one answers it; None where nothing is lacking.
    """

    answer: Answer
    sentence: str
    reasons: tuple[str, ...]
    exploration: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict for a report."""
        return asdict(self)


def judge_log(found: Diagnostics, n_candidates: float, unusable: float = 0.0) -> PolicyVerdict:
    """Return the verdict.

    Parameters
    ----------
    n_candidates
        Mean number of candidates a request: uniform exploration is shared among so many.
    unusable
        Share of the log's requests that could not be used because something about them was wrong.
    """
    grave, mild = _grave(found, unusable), _mild(found)
    help_text = _exploration(found, n_candidates) if grave or mild else None
    if grave:
        answer: Answer = "cannot be answered by this log"
    elif mild:
        answer = "widen exploration"
    else:
        return PolicyVerdict(
            "trust",
            f"Trust the doubly robust interval: {found.effective:.0f} effective questions of {found.n_questions} speak "
            f"of this policy, no single one has more than {found.tail.share_of_largest:.1%} of the weight, and the "
            "logged propensities fit the choices.",
            (),
            None,
        )
    reasons = (*grave, *mild)
    return PolicyVerdict(answer, f"{answer.capitalize()}: {reasons[0]}.", reasons, help_text)


def _grave(found: Diagnostics, unusable: float) -> tuple[str, ...]:
    reasons = []
    check = found.propensities
    if unusable > _UNUSABLE:
        reasons.append(f"{unusable:.1%} of its requests cannot be used, and those may be unlike the others")
    if check.p_value < _P_VALUE:
        reasons.append(
            f"the logged propensities do not fit the choices; by them {check.model!r} would have been chosen "
            f"{1 / check.ratio:.2f} times as often as it was or less, and every weight is wrong with them "
            f"(p = {check.p_value:.1g})"
        )
    elif large := [one for one in found.models if one.p_value < _P_VALUE and one.reached > 1]:
        worst = max(large, key=lambda one: one.target_share * one.reached)
        reasons.append(
            f"the logged propensities of {worst.model!r} are too low where this policy takes it: its weights add up to "
            f"{worst.reached:.2f} times its choices (p = {worst.p_value:.1g})"
        )
    if _unreached(found) > _UNREACHED:
        missed = max(found.models, key=_missed)
        reasons.append(
            f"about {_estimated(found):.0%} of this policy's choices, most of them of {missed.model!r}, were never "
            "tried on such requests, or were logged with too high a propensity"
        )
    if found.effective < TOO_FEW:
        reasons.append(f"only {found.effective:.0f} effective questions speak of this policy")
    return tuple(reasons)


def _mild(found: Diagnostics) -> tuple[str, ...]:
    reasons = []
    if TOO_FEW <= found.effective < ENOUGH:
        reasons.append(
            f"{found.effective:.0f} effective questions speak of this policy, and intervals are reliable from "
            f"{ENOUGH:.0f} on"
        )
    if found.tail.share_of_largest > _LARGEST_SHARE:
        reasons.append(f"a single round has {found.tail.share_of_largest:.0%} of the weight")
    if found.effective >= ENOUGH and found.tail.behind_spread < _BEHIND_SPREAD:
        reasons.append(
            f"the interval's width rests on some {found.tail.behind_spread:.0f} rounds with large weights, the ten "
            f"largest have {found.tail.share_of_top_10:.0%} of the weight, and {_BEHIND_SPREAD:.0f} are needed"
        )
    if _UNREACHED_A_LITTLE < _unreached(found) <= _UNREACHED:
        reasons.append(f"about {_estimated(found):.0%} of this policy's choices were never tried on such requests")
    check = found.propensities
    unfit = [one for one in found.models if one.p_value < _P_VALUE and _missed(one) > _UNREACHED_AT_ALL]
    if unfit:
        worst = max(unfit, key=_missed)
        reasons.append(
            f"{worst.model!r} could not be chosen on some requests on which this policy takes it, or its logged "
            f"propensities are too high: its weights add up to {worst.reached:.0%} of its choices "
            f"(p = {worst.p_value:.1g})"
        )
    elif (
        check.untried_p_value < _P_VALUE
        and 0 < _unreached(found) <= _UNREACHED_A_LITTLE
        and _estimated(found) > _UNREACHED_AT_ALL
    ):
        reasons.append(
            f"this log left out {check.untried!r} on some requests, or logged it with too high a propensity, and about "
            f"{_estimated(found):.1%} of this policy's choices seem to be among those"
        )
    return tuple(reasons)


def _unreached(found: Diagnostics) -> float:
    """Return what share of the target's choices the log did not try, at least: by its weights, or by its own word."""
    return max(1 - found.mean_weight_high, found.unreached)


def _estimated(found: Diagnostics) -> float:
    return max(1 - found.mean_weight, found.unreached)


def _missed(one: ModelOverlap) -> float:
    """Return what share of the target's choices are those of a model that its weights lack."""
    return one.target_share * (1 - one.reached)


def _exploration(found: Diagnostics, n_candidates: float) -> str:
    """Return what to explore: epsilon so large that the effective size would be twice enough on as many rounds."""
    least = min(found.models, key=lambda one: one.reached if one.target_share > 0 else float("inf"))
    dearest = max(found.models, key=lambda one: one.squared_weight_share)
    which = dearest if least.reached > 1 - _UNREACHED_A_LITTLE else least
    each = _WANTED / max(found.n_labelled, 1)
    model = f"{which.model!r} most of all: this policy takes it {which.target_share:.0%} of the time, the log "
    model += f"{which.logged_share:.1%}"
    epsilon = each * n_candidates
    if epsilon <= 1:
        return (
            f"A log as long with uniform exploration of epsilon = {_up(epsilon)} would answer it "
            f"(a propensity of at least {each:.2g} for every candidate; {model})."
        )
    return (
        f"Even uniform choices would need about {ceil(_WANTED * n_candidates):,} labelled requests, there are "
        f"{found.n_labelled:,}; explore more on more requests ({model})."
    )


def _up(share: float) -> str:
    return f"{ceil(share * 100) / 100:.2f}"
