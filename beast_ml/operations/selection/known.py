"""Selection accuracy where the outcome of every model is known: a router's choices against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.errors import NotEnoughDataError
from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import question_numbers
from beast_ml.operations.learning_loop.replay import replayed
from beast_ml.operations.selection.accuracy import accuracy_by_group, exact_regret, near_best
from beast_ml.operations.selection.report import SelectionReport

__all__ = ["known_selection"]

_LEAST: Final = 20


def known_selection(
    outcomes: OutcomeMatrix,
    bundle: RouterBundle,
    *,
    epsilon: float = 0.02,
    kinds: KindTable = KIND_TABLE,
    seed: int = 0,
) -> SelectionReport:
    """Return how often a router chooses a model near the best of its candidates, and what it loses to the best.

    It decides as it does when nothing else is asked of it: without exploration, with features of the past unknown.

    Parameters
    ----------
    outcomes
        Queries on which not every candidate was observed are left out. Where it was trained on some, figures flatter.
    bundle
        The router.
    epsilon
        How far from the best is near; 0..1 of quality.
    kinds
        Which task is of which kind.
    seed
        Of the resamples.

    Raises
    ------
    InputError
        If epsilon is not in 0..1.
    UnknownModelError
        If the outcomes lack a candidate.
    NotEnoughDataError
        With fewer than twenty queries on which every candidate was observed.
    """
    near_best(np.zeros(1), epsilon)
    models = bundle.manifest.models
    pooled = outcomes.pool(models)
    complete = np.flatnonzero(np.isfinite(pooled.quality).all(axis=1))
    held = pooled.rows(complete)
    if held.n_queries < _LEAST:
        raise NotEnoughDataError(
            f"{held.n_queries} queries on which each of {', '.join(models)} was observed, at least {_LEAST} are needed"
        )
    position = {name: j for j, name in enumerate(held.models)}
    reads = [key for key in get_args(ContextKey) if key in bundle.features.spec.context]
    names = replayed(bundle, held.prompts, held.contexts(reads))
    chosen = np.array([position[name] for name in names], dtype=np.intp)
    regret = exact_regret(held.quality, chosen)
    fields: dict[str, Sequence[str]] = {
        "kind": tuple(map(str, kinds.labels(held.tasks))),
        "task": tuple(map(str, held.tasks)),
        "app": tuple(map(str, held.apps)),
    }
    groups = {name: values for name, values in fields.items() if len(set(values)) > 1}
    left_out = pooled.n_queries - held.n_queries
    notes = [f"{left_out:,} queries lack the outcome of a candidate, and are left out"] if left_out else []
    found = accuracy_by_group(
        near_best(regret, epsilon), regret, question_numbers(held.prompts), groups, np.random.default_rng([seed, 5])
    )
    return SelectionReport(epsilon, tuple(found), (), (), held.n_queries, tuple(notes), best="is best")
