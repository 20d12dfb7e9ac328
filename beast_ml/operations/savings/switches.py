"""A switch: what would be done otherwise, and what becomes of each logged request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.operations.savings.log import SavingsLog
from beast_ml.policy.spec import PolicySpec

__all__ = ["SWITCH_KINDS", "Redecided", "Switch", "SwitchKind", "always", "deciding", "from_repeats", "without"]

SwitchKind = Literal["one model", "router", "floor", "willingness", "without a model", "cache", "soft limit", "price"]
"""What can be changed to save money."""

SWITCH_KINDS: Final[tuple[SwitchKind, ...]] = get_args(SwitchKind)
"""All of `SwitchKind`."""


@dataclass(frozen=True)
class Redecided:
    """What becomes of each of the n requests.

    Parameters
    ----------
    direct
        (n,) the model that would answer, given what the log chose.
    weight
        (n,) probability of the logged choice under the switch over that in the log; 1 where nothing changes.
    source
        (n,) the earlier request whose answer is given again; -1 where a model answers.
    """

    direct: NDArray[np.intp]
    weight: Floats
    source: NDArray[np.intp]


@dataclass(frozen=True)
class Switch:
    """One thing that could be done.

    Parameters
    ----------
    kind
        What sort of thing.
    name
        What it is, for people.
    redecided
        What it makes of the log.
    how
        How to do it: a command, or the lines to put into mlflow.yaml.
    policy
        What the champion's bundle would decide by, so that an experiment can serve it; None where the switch is no
        other policy of the same bundle.
    """

    kind: SwitchKind
    name: str
    redecided: Redecided
    how: str
    policy: PolicySpec | None = None


def always(log: SavingsLog, model: int) -> Redecided:
    """Return what becomes of the log if one model answers; where it was no candidate, nothing changes."""
    return deciding(log, np.full(len(log.chosen), model, dtype=np.intp))


def deciding(log: SavingsLog, decisions: NDArray[np.intp]) -> Redecided:
    """Return what becomes of the log under other decisions; one for a model that was no candidate changes nothing."""
    everyone = np.arange(len(decisions))
    possible = log.candidates[everyone, decisions]
    direct = np.where(possible, decisions, log.chosen)
    weight = np.where(possible, (decisions == log.chosen) / log.quality.propensity, 1.0)
    return Redecided(direct, weight, np.full(len(decisions), -1, dtype=np.intp))


def without(log: SavingsLog, model: int, preference: Floats) -> Redecided:
    """Return what becomes of the log if a model's requests go to the next best.

    Its other requests stay. How often the model is chosen on requests like those that others answered is estimated, so
    what corrects the predictions there is right only as far as those estimates or the predictions are.

    Parameters
    ----------
    preference
        (n, m) higher is better.
    """
    everyone = np.arange(len(log.chosen))
    open_to = log.candidates.copy()
    open_to[:, model] = False
    following = np.where(open_to, preference, -np.inf).argmax(axis=1)
    leaves = (log.chosen == model) & open_to[everyone, following]
    direct = np.where(leaves, following, log.chosen)
    moved = np.zeros(len(everyone)) if log.quality.logging is None else log.quality.logging[:, model]
    takes_over = (log.chosen == following) & log.candidates[:, model]
    weight = np.where(takes_over, 1.0 + moved / log.quality.propensity, 1.0)
    return Redecided(direct, np.where(leaves, 0.0, weight), np.full(len(everyone), -1, dtype=np.intp))


def from_repeats(log: SavingsLog) -> Redecided:
    """Return what becomes of the log if repeats get the answer that was given before."""
    return Redecided(log.chosen, np.ones(len(log.chosen)), log.repeats)
