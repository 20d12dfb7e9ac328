"""Who is tested when: folds over questions, or over whole tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import Groups, normalise_question, query_fold, task_fold

__all__ = ["split"]

# Learners cut their training data into folds of the same kind. With the same seed theirs would be ours, one of them
# empty: the outer draw has seeds of its own.
_OUTER_SEED: Final = 1_000_003


def split(
    outcomes: OutcomeMatrix, groups: Groups, n_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield (train, test) masks of the queries, one pair a fold; every query is tested once.

    With tasks as groups, a question that another task asks too is left out of training while it is tested.

    Raises
    ------
    NotEnoughDataError
        If there are fewer tasks than folds.
    """
    if groups == "question":
        folds = query_fold(outcomes.prompts, n_folds, _OUTER_SEED + seed)
    else:
        folds = task_fold(outcomes.tasks, n_folds, _OUTER_SEED + seed)
    questions = np.array([normalise_question(prompt) for prompt in outcomes.prompts], dtype=object)
    for fold in range(n_folds):
        test = folds == fold
        if test.any():
            yield ~test & ~_among(questions, set(questions[test])), test


def _among(questions: NDArray[np.object_], known: set[str]) -> NDArray[np.bool_]:
    return np.fromiter((question in known for question in questions), dtype=bool, count=len(questions))
