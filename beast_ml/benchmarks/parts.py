"""The parts of the benchmark, by name: each measures some figures.

A part of cross-validated routers takes a `ScoredSet`; a part of its own takes a `PartContext` and loads what it needs.
To add one, write a module with a function that returns a `PartResult` and name it in one of the two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from beast_ml.benchmarks.accuracy import measure_calibration, measure_cost
from beast_ml.benchmarks.amounts_part import measure_amounts_of_sets
from beast_ml.benchmarks.figures import PartResult
from beast_ml.benchmarks.kinds_part import measure_kinds
from beast_ml.benchmarks.logs_part import measure_logs, measure_scale
from beast_ml.benchmarks.new_models_part import measure_new_models
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.pooling_part import measure_pooling
from beast_ml.benchmarks.savings import measure_savings
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.benchmarks.shares import measure_shares
from beast_ml.benchmarks.speed_part import measure_speed
from beast_ml.benchmarks.strong_calls import measure_strong_calls
from beast_ml.errors import InputError

__all__ = ["OWN_PARTS", "PARTS", "SCORED_PARTS", "choose_parts"]


SCORED_PARTS: Final[Mapping[str, Callable[[ScoredSet], PartResult]]] = {
    "shares": measure_shares,
    "savings": measure_savings,
    "strong_calls": measure_strong_calls,
    "calibration": measure_calibration,
    "cost": measure_cost,
}
"""Parts that measure one outcome set, by name."""

OWN_PARTS: Final[Mapping[str, Callable[[PartContext], PartResult]]] = {
    "amounts": measure_amounts_of_sets,
    "logs": measure_logs,
    "speed": measure_speed,
    "scale": measure_scale,
    "kinds": measure_kinds,
    "new_models": measure_new_models,
    "pooling": measure_pooling,
}
"""Parts that find their own data, by name."""

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
