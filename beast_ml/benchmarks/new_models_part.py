"""The part on new candidates: how soon a model that joins a pool is as useful as one that it was trained with."""

from __future__ import annotations

from functools import partial
from typing import Final

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.new_models import NewModelCurve, draw_new_model_curve, new_model_curve
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.pool import PoolFamilies

__all__ = ["measure_new_models"]

_PART: Final = "new_models"
_SETS: Final = ("quickstart", "routerbench3")
_HELD_OUT: Final = 6
_QUICK_PROBES: Final = (10, 50)
_PROBES: Final = (10, 20, 50, 100, 200)
_HOW_TO_READ: Final = (
    "new_models: up to six models of a set are held out in turn and join again on a prior (a benchmark score that is "
    "off by 0.03, and the price), then on n probes, `chosen` or `random`; `without` is the pool without the model, "
    "`retrained` the whole pool trained together, by networks alone. Intervals resample the held-out models"
)


def measure_new_models(context: PartContext) -> PartResult:
    """Return the learning curve of held-out models: share of the gap, Brier score and AUC by number of probes."""
    figures: list[Figure] = []
    notes = [_HOW_TO_READ]
    for name in _SETS:
        outcomes = load_set(SETS[name], context.data)
        if outcomes is None:
            notes.append(f"{name} is not there: no model of it is held out")
            continue
        settings = {"outcomes": outcomes.digest(), "quick": context.quick, "seeds": context.n_seeds}
        figures += context.kept(name, settings, partial(_curve, name, outcomes, context))
    return PartResult(_PART, tuple(figures), tuple(notes))


def _curve(name: str, outcomes: OutcomeMatrix, context: PartContext) -> tuple[Figure, ...]:
    curve = new_model_curve(
        outcomes,
        RouterLearner(context.encoder, families=PoolFamilies.of_names(("network",))),
        models=outcomes.models[:_HELD_OUT],
        seeds=range(min(context.n_seeds, 2)),
        n_probes=_QUICK_PROBES if context.quick else _PROBES,
    )
    context.folder.mkdir(parents=True, exist_ok=True)
    draw_new_model_curve(curve, context.folder / f"{name}.png")
    return _figures(name, curve)


def _figures(name: str, curve: NewModelCurve) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            _PART,
            f"{name}, {row['n_probes']} probes",
            row["how"],
            measure,
            row[measure]["mean"],
            None,
            row[measure]["low"],
            row[measure]["high"],
        )
        for row in curve.summary()
        for measure in ("share_of_gap", "share_gained", "brier", "auc")
        if row[measure] is not None
    )
