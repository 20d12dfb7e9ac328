"""The part on pooling: what the outcomes of other sets add to n queries of a set's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.partial_feedback import MMLU_PRO_POOL
from beast_ml.benchmarks.pooling import PoolingPoint, mean_over_seeds, pooling_curves
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_pooling"]

_PART: Final = "pooling"
_TARGETS: Final = ("quickstart", "mmlu", "mmlu_pro", "messplus", "routerbench3")
_SIZES: Final = (100, 200, 500, 1000, None)
_QUICK_SIZES: Final = (100, 500)
_HOW_TO_READ: Final = (
    "pooling: values are means over seeds, intervals Student's t over seeds; 30% of a set's questions are held out. "
    "`alone` learns from the set's own queries, `pooled` from the same with the activations of a trunk of all other "
    "sets, `model_means` knows nothing else of quality; all three predict cost alike"
)
_OF_SKILL: Final = (
    "pooling: `skill_out_of_fold` is what the best that was learnt takes off the routing error of the model means, "
    "whether that was enough for it to replace them or not (`kept_model_means`: share of seeds where it was not)"
)


def measure_pooling(context: PartContext) -> PartResult:
    """Return share of the gap and Brier score with and without pooling, and the gain, by set and own queries."""
    loaded = {name: load_set(one, context.data) for name, one in SETS.items()}
    sets = {name: outcomes for name, outcomes in loaded.items() if outcomes is not None}
    if "mmlu_pro" in sets:
        sets["mmlu_pro"] = sets["mmlu_pro"].pool(MMLU_PRO_POOL)
    absent = [f"{name} is not there: nothing is pooled with it" for name in SETS if name not in sets]
    if len(sets) < 2:
        return PartResult(_PART, (), tuple(absent))
    sizes = _QUICK_SIZES if context.quick else _SIZES
    seeds = tuple(range(context.n_seeds))
    figures: list[Figure] = []
    for target in _TARGETS:
        if target in sets:
            digests = {name: outcomes.digest() for name, outcomes in sets.items()}
            settings = {"sets": digests, "sizes": sizes, "seeds": seeds}
            figures += context.kept(target, settings, partial(_curve, sets, target, sizes, seeds, context))
    return PartResult(_PART, tuple(figures), (*absent, _HOW_TO_READ, _OF_SKILL))


def _curve(
    sets: Mapping[str, OutcomeMatrix],
    target: str,
    sizes: tuple[int | None, ...],
    seeds: tuple[int, ...],
    context: PartContext,
) -> tuple[Figure, ...]:
    result = pooling_curves(sets, [target], sizes, seeds, get_encoder(context.encoder))
    return tuple(figure for point in result.points for figure in _figures(point))


def _figures(point: PoolingPoint) -> list[Figure]:
    where = f"{point.target}, {'all' if point.size is None else point.size} own queries"
    measured = (
        ("model_means", "share_of_held_out_gap", point.share_means),
        ("alone", "share_of_held_out_gap", point.share_alone),
        ("pooled", "share_of_held_out_gap", point.share_pooled),
        ("model_means", "brier_held_out", point.brier_means),
        ("alone", "brier_held_out", point.brier_alone),
        ("pooled", "brier_held_out", point.brier_pooled),
        ("alone", "kept_model_means", point.kept_alone),
        ("pooled", "kept_model_means", point.kept_pooled),
        ("alone", "skill_out_of_fold", point.skill_alone),
        ("pooled", "skill_out_of_fold", point.skill_pooled),
    )
    return [
        *(_figure(where, router, name, mean_over_seeds(values), values) for router, name, values in measured),
        _figure(where, "pooled", "gain_in_share", point.share_gain),
        _figure(where, "pooled", "gain_in_brier", point.brier_gain),
        _figure(where, "pooled", "gain_in_skill", point.skill_gain),
        Figure(_PART, where, "pooled", "own_queries", point.n_queries),
    ]


def _figure(where: str, router: str, name: str, mean: Estimate, seeds: tuple[float, ...] = ()) -> Figure:
    error = float(np.std(seeds, ddof=1) / np.sqrt(len(seeds))) if len(seeds) > 1 else None
    return Figure(_PART, where, router, name, mean.value, error, mean.low, mean.high, seeds)
