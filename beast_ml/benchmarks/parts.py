"""The parts of the benchmark, by name: each measures some figures.

A part of cross-validated routers takes a `ScoredSet`; a part of its own takes a `PartContext` and loads what it needs.
To add one, write a module with a function that returns a `PartResult` and name it in one of the two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.accuracy import measure_calibration, measure_cost
from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.savings import measure_savings
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.benchmarks.shares import measure_shares
from beast_ml.benchmarks.strong_calls import measure_strong_calls
from beast_ml.errors import InputError
from beast_ml.policy.learner import EncoderName

__all__ = ["OWN_PARTS", "PARTS", "SCORED_PARTS", "PartContext", "choose_parts"]


@dataclass(frozen=True)
class PartContext:
    """What a part of its own is given.

    Parameters
    ----------
    data
        Folder of the public sets, or None.
    encoder
        Name of the encoder.
    n_seeds
        How often to draw what is drawn.
    quick
        Whether a rough look will do.
    peers
        Whether peers are to be measured too.
    folder
        Where the part may keep what an interrupted run is to find again.
    say
        Called with what is being done.
    """

    data: Path | None
    encoder: EncoderName
    n_seeds: int
    quick: bool
    peers: bool
    folder: Path
    say: Callable[[str], None]


SCORED_PARTS: Final[Mapping[str, Callable[[ScoredSet], PartResult]]] = {
    "shares": measure_shares,
    "savings": measure_savings,
    "strong_calls": measure_strong_calls,
    "calibration": measure_calibration,
    "cost": measure_cost,
}

OWN_PARTS: Final[Mapping[str, Callable[[PartContext], PartResult]]] = {}

PARTS: Final = (*SCORED_PARTS, *OWN_PARTS)
"""Every part, in the order of reports."""


def choose_parts(names: str | None) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, in the order of reports; all for None.

    Raises
    ------
    InputError
        If a part is not known.
    """
    if names is None:
        return PARTS
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in PARTS]
    if unknown or not asked:
        first = unknown[0] if unknown else ""
        raise InputError(f"`parts` == {names!r}: no part {first!r}, there are {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in asked)
