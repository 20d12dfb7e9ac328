"""What a fault is: how it is done and undone, what requests may meet meanwhile, and how often it is expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.traffic import Reply

__all__ = ["Fault", "Rate", "Scope"]

Scope = Literal["host", "shared"]
"""Whom a fault meets: one host of several, or all at once."""


@dataclass(frozen=True)
class Rate:
    """How often a fault is expected, for the arithmetic of a year: assumptions, not measurements.

    Parameters
    ----------
    per_year
        Of each host, or of what all of them share.
    lasts_s
        Until its cause is mended, by others or by whoever is on call; 0: it is a moment's act.
    scope
        Whom it meets.
    """

    per_year: float
    lasts_s: float = 0.0
    scope: Scope = "host"


@dataclass(frozen=True)
class Fault:
    """A fault that can be staged.

    Parameters
    ----------
    name, part
        The fault, and what it belongs to.
    does
        What is done, in words.
    inject
        Does it; the generator draws whom it meets.
    rate
        How often it is expected.
    mend
        Ends its cause; None: the deployment has to cope alone.
    is_mended_at_once
        As by an init system, and not after a while, as by whoever is on call.
    may
        Statuses that requests may have meanwhile, beside 2xx: each is named here, or it is a defect.
    forbids
        Says why it cannot be staged in this deployment; None: it can.
    check
        Says what is wrong after it, of what the requests do not show; with all that ended since it began.
    """

    name: str
    part: str
    does: str
    inject: Callable[[Deployment, np.random.Generator], None]
    rate: Rate
    mend: Callable[[Deployment], None] | None = None
    is_mended_at_once: bool = False
    may: frozenset[int] = frozenset()
    forbids: Callable[[Deployment], str | None] = lambda _: None
    check: Callable[[Deployment, Sequence[Reply]], list[str]] = lambda _, __: []
