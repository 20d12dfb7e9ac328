"""Models compared on requests that all of them answered: differences are paired, intervals resample questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.comparison.contract import ALL, COMPARED, LEAST_PAIRS, Compared, ModelComparison, Source
from beast_ml.evaluation.comparison.failure_rates import failure_rate, rates_apart
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import question_numbers

__all__ = ["check_models", "compare_outcomes", "kinds_there"]

Floats = NDArray[np.float64]

_RESAMPLES: Final = 1000


def compare_outcomes(
    outcomes: OutcomeMatrix,
    models: Sequence[str],
    kinds: NDArray[np.str_],
    rng: np.random.Generator,
    *,
    failed: Floats | None = None,
    source: Source = "outcomes",
) -> ModelComparison:
    """Return models side by side, each measure on the requests of which all of them have it.

    Parameters
    ----------
    outcomes
        Of these models, and maybe of others.
    models
        The first is the reference.
    kinds
        (n,) kind of each request, "" where it is not known.
    failed
        (n, m) 1 where the call of a model failed, 0 where it answered, by the models of the outcomes; None: not known.
    source
        Where they come from.

    Raises
    ------
    InputError
        If fewer than two models are named, or one twice.
    UnknownModelError
        If a model is not in the outcomes.
    """
    check_models(models)
    outcomes.pool(models)
    columns = [outcomes.models.index(name) for name in models]
    measures = {name: getattr(outcomes, name) for name in COMPARED[:-1]} | (
        {} if failed is None else {"errors": failed}
    )
    question = question_numbers(outcomes.prompts)
    rows: list[Compared] = []
    notes = []
    for measure, values in measures.items():
        known = np.isfinite(values[:, columns]).all(axis=1)
        if not known.any():
            notes.append(f"{measure} is not known of all of them on any request")
            continue
        if not known.all() and measure == "quality":
            notes.append(f"quality: on {int((~known).sum())} of {len(known)} requests some model has none, left out")
        for kind in kinds_there(kinds[known]):
            at = np.flatnonzero(known & ((kinds == kind) | (kind == ALL)))
            draws = QueryBootstrap.draw_by_question(rng, np.unique(question[at], return_inverse=True)[1], _RESAMPLES)
            means = draws.means(values[at][:, columns])
            of_reference, *of_others = means.T
            rows.append(_compared(measure, kind, models[0], len(at), of_reference, None))
            rows += [
                _compared(measure, kind, model, len(at), each, of_reference)
                for model, each in zip(models[1:], of_others, strict=True)
            ]
    return ModelComparison(source, tuple(models), outcomes.n_queries, tuple(rows), tuple(notes))


def _compared(measure: str, kind: str, model: str, n: int, means: Floats, of_reference: Floats | None) -> Compared:
    """Return a model's row from its means, and those of the reference it is not, on the data and on every resample."""
    value = Estimate.of(means)
    if measure == "errors":
        value = failure_rate(value, n)
    if of_reference is None:
        return Compared(measure, kind, model, n, value, None)
    difference = Estimate.of(means - of_reference)
    if measure == "errors":
        difference = rates_apart(difference, value, failure_rate(Estimate.of(of_reference), n))
    return Compared(measure, kind, model, n, value, difference)


def kinds_there(kinds: NDArray[np.str_]) -> list[str]:
    """Return `ALL`, then the kinds of enough requests, the most frequent first."""
    names, counts = np.unique(kinds[kinds != ""], return_counts=True)
    return [ALL, *(str(names[j]) for j in np.argsort(-counts, kind="stable") if counts[j] >= LEAST_PAIRS)]


def check_models(models: Sequence[str]) -> None:
    """Raise `InputError` unless two different models or more are named."""
    if len(models) < 2 or len(set(models)) < len(models):
        raise InputError(f"{', '.join(models) or 'no model'}: name two different models or more, the reference first")
